// pump-input.ts: what the client sends, to the input of the process.
import type { Readable, Writable } from "node:stream";
import { Wakeup } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";

/**
 * Resolves when the client sends no more. A process that stops reading early (`head -1`) is normal:
 * the rest is taken and dropped, because an input that nobody takes would block the client, and
 * behind it the exit.
 * @param isOver whether the client said so; else the end is that of a connection, and the process
 * must not take half an input for a whole one.
 * @param signal aborts when the exec has ended or its client has gone.
 */
export async function pumpInput(
  source: Readable,
  sink: Writable,
  { isOver, signal, clock }: { isOver: () => boolean; signal: AbortSignal; clock: Clock },
): Promise<void> {
  const changed = new Wakeup();
  for (const event of ["readable", "end", "close"]) source.on(event, changed.notify);
  const hasRoom = new Wakeup();
  for (const event of ["drain", "close", "error"]) sink.on(event, hasRoom.notify);
  // No peer owes us input, nor a process its attention: only `signal` bounds these waits.
  const wait = { limitMs: Infinity, signal, clock };
  try {
    for (;;) {
      signal.throwIfAborted();
      const chunk = source.read() as Buffer | null;
      if (chunk !== null) {
        if (sink.destroyed || sink.errored) continue;
        if (sink.write(chunk)) continue;
        while (sink.writableNeedDrain && !sink.destroyed && !sink.errored) await hasRoom.wait(wait);
      } else if (source.readableEnded || source.destroyed) {
        if (isOver()) sink.end();
        return;
      } else {
        await changed.wait(wait);
      }
    }
  } catch {
    // Ended from outside: what still comes has no reader, and is dropped so that its end can come.
    source.off("readable", changed.notify); // with this listener, nothing flows
    source.resume();
  }
}
