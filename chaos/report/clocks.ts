// clocks.ts: the lab's clock (performance.now) against those that others write down.

/** Against the wall clock of log lines, in milliseconds since the epoch. */
export function wallClockOf(labMs: number): number {
  return performance.timeOrigin + labMs;
}

/** Of seconds since boot, as the work writes them: both clocks count the same time, from other zeros. */
export function labMsOfUptime(uptimeSeconds: number): number {
  const zeroMs = Number(process.hrtime.bigint() / 1_000_000n) - performance.now();
  return uptimeSeconds * 1_000 - zeroMs;
}
