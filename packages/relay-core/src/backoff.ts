// backoff.ts: how long to wait before the next attempt to reach a peer.

export interface BackoffLimits {
  /** Bound of the first delay. Default 100. */
  readonly minMs: number;
  /** No bound grows beyond this. Default 10_000. */
  readonly maxMs: number;
}

/**
 * Full jitter: anything from 0 to min·2ⁿ, so that the supervisors of a restarted gateway do not
 * come back in step.
 * @param failures attempts that failed in a row since the last session that lasted; 0 for the first.
 * @param random a number in [0, 1).
 */
export function backoffMs(failures: number, limits: BackoffLimits, random: number): number {
  const bound = Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(failures, 30));
  return Math.floor(bound * random);
}

/**
 * The count of failures after a session ended. One that lasted as long as the longest delay was a
 * success; one that ended at once is one more failure, however cleanly it ended.
 */
export function failuresAfter(failures: number, lastedMs: number, limits: BackoffLimits): number {
  return lastedMs >= limits.maxMs ? 0 : failures + 1;
}
