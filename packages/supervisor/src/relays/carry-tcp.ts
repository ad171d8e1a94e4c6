// carry-tcp.ts: bytes between a relay's pipe and its TCP target, both ways, each with its own end.
import type { Socket } from "node:net";
import { BelayError } from "@belay/protocol";
import type { Clock, RelayPipe } from "@belay/relay-core";

export interface CarryTcpOptions {
  readonly clock: Clock;
  /** What is still to be sent to the target may be taken by it within this, once the relay is over. */
  readonly flushMs: number;
  /** Called at most once: the target broke the connection before its end of output. */
  readonly onBroken: (error: BelayError) => void;
}

/**
 * - The target's FIN ends what the pipe sends, the pipe's end becomes a FIN to the target.
 * - A target that broke is the caller's to report; the pipe stays, for what was sent before.
 * - A pipe that broke resets the target: a cut transfer must not look complete.
 */
export function carryTcp(
  socket: Socket,
  pipe: RelayPipe,
  { clock, flushMs, onBroken }: CarryTcpOptions,
): void {
  socket.pipe(pipe);
  pipe.pipe(socket);
  socket.on("error", (cause) => {
    // It has sent all and takes no more: what it sent is whole, and there is no room for the rest.
    if (socket.readableEnded) pipe.resume();
    else onBroken(new BelayError("relay_lost", "tcp target broke the connection", { cause }));
  });
  pipe.once("close", () => {
    if (pipe.errored) return socket.resetAndDestroy();
    const cut = clock.setTimer(flushMs, () => socket.resetAndDestroy());
    socket.once("close", () => cut.cancel());
    socket.destroySoon();
  });
}
