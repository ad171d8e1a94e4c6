// exit-drain.ts: how long to read on after a process has exited while something, a grandchild, still
// holds its output open. Pure.

export interface ExitDrainLimits {
  /** Nothing for this long while we waited: drained. Default 250 at a pipe, 500 across SSH. */
  readonly quietMs: number;
  /** How long a grandchild that keeps writing is listened to. Default 2_000. */
  readonly totalMs: number;
  /** What the process itself may have left on the way to us when it ended, in bytes: so much is read
   * however slow the reader of the output is. Default 65_536, the capacity of a Linux pipe. */
  readonly ownBytes: number;
}

export interface ExitDrainState {
  /** Time spent waiting for bytes since the exit, not counting time that our reader kept us. */
  readonly waitedMs: number;
  /** Time since the exit, whoever spent it. */
  readonly elapsedMs: number;
  /** Bytes read since the exit. */
  readonly bytes: number;
}

export const initialExitDrain: ExitDrainState = { waitedMs: 0, elapsedMs: 0, bytes: 0 };

/**
 * How long to wait for the next byte; 0 means stop: all that the process wrote has been read.
 *
 * Whoever waited found the stream empty, so waiting `totalMs` in all is proof enough. A grandchild
 * that writes faster than we read never lets us wait: it is cut after `totalMs` too, once `ownBytes`
 * have passed.
 */
export function exitDrainWaitMs(state: ExitDrainState, limits: ExitDrainLimits): number {
  const ownOutputRead = state.bytes >= limits.ownBytes && state.elapsedMs >= limits.totalMs;
  if (ownOutputRead) return 0;
  return Math.max(0, Math.min(limits.quietMs, limits.totalMs - state.waitedMs));
}
