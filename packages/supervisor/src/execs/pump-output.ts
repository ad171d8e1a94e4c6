// pump-output.ts: one output of a process, from our end of the pipe to the client, in bounded memory.
import type { Readable } from "node:stream";
import { Wakeup, exitDrainWaitMs, initialExitDrain } from "@belay/relay-core";
import type { Clock, ExitDrainLimits } from "@belay/relay-core";

export interface PumpOutputOptions {
  /** Resolves when the sink has room for more: so a slow client slows the process. */
  readonly write: (chunk: Buffer) => Promise<void>;
  /** Aborts when the process has exited: from then on, waiting for more has a bound. */
  readonly exited: AbortSignal;
  readonly limits: ExitDrainLimits;
  readonly clock: Clock;
}

/** It ends by itself: with the output, or with the bound after the exit. */
const NEVER = new AbortController().signal;

/**
 * Resolves with true when the output has ended, and with false when somebody, a grandchild, still
 * held it open after the exit and all that the process itself wrote has been passed on.
 *
 * Pulls with `readable` and `read()`: with `data`, a paused stream still gives what it had read.
 */
export async function pumpOutput(
  source: Readable,
  { write, exited, limits, clock }: PumpOutputOptions,
): Promise<boolean> {
  const changed = new Wakeup();
  for (const event of ["readable", "end", "close"]) source.on(event, changed.notify);
  exited.addEventListener("abort", changed.notify, { once: true });

  const change = (limitMs: number) => changed.wait({ limitMs, clock, signal: NEVER });

  let drain = initialExitDrain;
  let exitedAtMs: number | undefined;
  for (;;) {
    const chunk = source.read() as Buffer | null;
    if (exited.aborted) exitedAtMs ??= clock.now();
    if (chunk !== null) {
      await write(chunk);
      if (exitedAtMs === undefined) continue;
      const bytes = drain.bytes + chunk.length;
      drain = { ...drain, bytes, elapsedMs: clock.now() - exitedAtMs };
      if (exitDrainWaitMs(drain, limits) === 0) return false;
    } else if (source.readableEnded || source.destroyed) {
      return true;
    } else if (exitedAtMs === undefined) {
      await change(Infinity);
    } else {
      const waitMs = exitDrainWaitMs(drain, limits);
      const waitedFromMs = clock.now();
      if (waitMs === 0 || !(await change(waitMs))) return false;
      drain = { ...drain, waitedMs: drain.waitedMs + (clock.now() - waitedFromMs) };
    }
  }
}
