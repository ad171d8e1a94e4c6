// ssh-like.ts: speaks over a duplex as ssh2 does: listens to "data", writes many small pieces without
// looking at what write() returns, and answers from within the "data" listener.
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

export interface SshLike {
  /** The messages of the other side, whole and in order. */
  readonly heard: Buffer[];
  say(message: Buffer): void;
}

/**
 * Each message goes as a length, a body and a check, written one by one.
 * @param answer what to say to a message of the other side, if anything.
 */
export function speakLikeSsh(
  duplex: Duplex,
  answer: (message: Buffer) => Buffer | undefined,
): SshLike {
  const heard: Buffer[] = [];
  let rest = Buffer.alloc(0);

  const say = (message: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.byteLength);
    duplex.write(length);
    duplex.write(message);
    duplex.write(Buffer.from([checkOf(message)]));
  };

  duplex.on("data", (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    while (rest.byteLength >= 4) {
      const endsAt = 4 + rest.readUInt32BE(0);
      if (rest.byteLength < endsAt + 1) return;
      const message = rest.subarray(4, endsAt);
      if (rest[endsAt] !== checkOf(message)) throw new Error("a message came damaged");
      rest = rest.subarray(endsAt + 1);
      heard.push(message);
      const reply = answer(message);
      if (reply) say(reply);
    }
  });
  return { heard, say };
}

function checkOf(message: Buffer): number {
  return message.reduce((sum, byte) => (sum + byte) & 0xff, 7);
}
