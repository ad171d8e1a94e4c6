// harden-channel.ts: lets one SSH channel carry stdout and stderr at the same time.
//
// ssh2 1.17 cannot, once the peer's window (2 MiB) is used up. It keeps the chunk that waits for each
// stream on the channel, never clears it, and on WINDOW_ADJUST resumes one of the two:
// - stderr runs out of window after stdout had: the next WINDOW_ADJUST finds stdout's old chunk and
//   sends it again. The client gets bytes twice, then the channel breaks.
// - both wait: stdout takes the whole new window, and nobody resumes stderr. The exec hangs.
// And a write that waits when the channel closes is never called back. Here it is, and without an error:
// one would keep the other direction's `end` from ever coming.
//
// So both streams' `_write` are replaced by one queue with a place for each. ssh2's handler of
// WINDOW_ADJUST calls `_chunkcb` when `_waitWindow` is set and there is no `_chunk`: that is the hook.
import type { ServerChannel } from "ssh2";
import type { PrivateChannel, StreamWrite } from "./ssh2-internals.ts";

export interface HardenedChannel extends ServerChannel {
  exit(status: number): void;
  exit(signal: string, coreDumped: boolean, message: string): void;
}

/** Call it before anything is written. @param closed aborts when the channel or its way is gone. */
export function hardenChannel(plain: ServerChannel, closed: AbortSignal): HardenedChannel {
  const channel = plain as PrivateChannel;
  const waiting: { stdout?: Waiting; stderr?: Waiting } = {};

  function flush(): void {
    // Packet by packet in turns, so that neither stream starves the other.
    let moved = true;
    while (moved) {
      moved = false;
      for (const name of ["stdout", "stderr"] as const) {
        const each = waiting[name];
        if (!each) continue;
        moved = sendPacket(channel, name, each) || moved;
        if (each.sentBytes < each.data.length) continue;
        delete waiting[name];
        each.done();
      }
    }
    channel._waitWindow = waiting.stdout !== undefined || waiting.stderr !== undefined;
  }

  const writeTo =
    (name: "stdout" | "stderr"): StreamWrite =>
    (data, _encoding, done) => {
      if (closed.aborted || channel.outgoing.state !== "open") return done();
      waiting[name] = { data, sentBytes: 0, done };
      flush();
    };

  channel._write = writeTo("stdout");
  channel.stderr._write = writeTo("stderr");
  channel._chunk = undefined;
  channel._chunkcb = flush;
  // Whatever breaks is told by `closed`; without listeners the errors would end the process.
  channel.on("error", () => {});
  channel.stderr.on("error", () => {});
  closed.addEventListener("abort", () => {
    for (const { done } of Object.values(waiting)) done();
  });
  return channel;
}

interface Waiting {
  readonly data: Buffer;
  sentBytes: number;
  readonly done: () => void;
}

/** SSH_EXTENDED_DATA_STDERR */
const STDERR_TYPE = 1;

/** False when the window is used up. */
function sendPacket(channel: PrivateChannel, name: "stdout" | "stderr", each: Waiting): boolean {
  const { outgoing } = channel;
  const { _protocol: protocol } = channel._client;
  const left = each.data.length - each.sentBytes;
  const bytes = Math.min(left, outgoing.window, outgoing.packetSize);
  if (bytes <= 0) return false;
  const packet = each.data.subarray(each.sentBytes, each.sentBytes + bytes);
  if (name === "stdout") protocol.channelData(outgoing.id, packet);
  else protocol.channelExtData(outgoing.id, packet, STDERR_TYPE);
  outgoing.window -= bytes;
  each.sentBytes += bytes;
  return true;
}
