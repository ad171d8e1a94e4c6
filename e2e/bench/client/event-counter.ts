// event-counter.ts: reads a gRPC stream of exec events for its sizes and its end, and looks at output no further.
import { fromBinary } from "@bufbuild/protobuf";
import { ExecSandboxEventSchema } from "@belay/protocol";

/** One byte of flags, four of length. */
const prefixBytes = 5;
/** Messages up to this size are decoded; of larger ones, only their head is read. */
const smallBytes = 512;
/** Two tags of one byte, two lengths of at most five. */
const outputHeadBytes = 12;
const stdoutTag = 0x0a;
const stderrTag = 0x12;
const dataTag = 0x0a;

/**
 * A client that decodes every message copies every byte again. On a machine with few cores that takes
 * from what is measured, so this one does not.
 */
export class EventCounter {
  outputBytes = 0;
  /** undefined until the exit event came. */
  exitCode: number | undefined;
  readonly #head = Buffer.alloc(smallBytes);
  #headBytes = 0;
  #wantedBytes = prefixBytes;
  /** Of the message at hand; undefined while its prefix is read. */
  #messageBytes: number | undefined;
  #skipBytes = 0;

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, chunk.length - at);
        this.#skipBytes -= skipped;
        at += skipped;
        continue;
      }
      const end = Math.min(chunk.length, at + this.#wantedBytes - this.#headBytes);
      this.#headBytes += chunk.copy(this.#head, this.#headBytes, at, end);
      at = end;
      if (this.#headBytes === this.#wantedBytes) this.#takeHead();
    }
  }

  #takeHead(): void {
    const head = this.#head.subarray(0, this.#headBytes);
    this.#headBytes = 0;
    if (this.#messageBytes === undefined) {
      if (head[0] !== 0) throw new Error("a compressed message: none was asked for");
      const messageBytes = head.readUInt32BE(1);
      if (messageBytes === 0) throw new Error("an event without payload");
      this.#messageBytes = messageBytes;
      this.#wantedBytes = messageBytes <= smallBytes ? messageBytes : outputHeadBytes;
      return;
    }
    if (this.#messageBytes <= smallBytes) this.#takeSmall(head);
    else {
      this.outputBytes += outputBytesOf(head, this.#messageBytes);
      this.#skipBytes = this.#messageBytes - outputHeadBytes;
    }
    this.#messageBytes = undefined;
    this.#wantedBytes = prefixBytes;
  }

  #takeSmall(message: Buffer): void {
    const { payload } = fromBinary(ExecSandboxEventSchema, message);
    if (payload.case === undefined) throw new Error("an event without payload");
    if (payload.case === "exit") this.exitCode = payload.value.exitCode;
    else this.outputBytes += payload.value.data.length;
  }
}

/** How much output a large event carries, by its head alone. Throws when it is not all output. */
function outputBytesOf(head: Buffer, messageBytes: number): number {
  const event = readVarint(head, 1);
  const data = readVarint(head, event.next + 1);
  const isOutput =
    (head[0] === stdoutTag || head[0] === stderrTag) &&
    head[event.next] === dataTag &&
    event.next + event.value === messageBytes &&
    data.next + data.value === messageBytes;
  if (!isOutput) throw new Error("a large event that is not output alone");
  return data.value;
}

function readVarint(bytes: Buffer, at: number): { value: number; next: number } {
  let value = 0;
  for (let shift = 0, next = at; shift < 35; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, next };
  }
  throw new Error("a length of more than five bytes");
}
