// soak-line.ts: how a soak stands, in one line.
import type { Adapter } from "../adapters/adapter.ts";

export interface SoakTotals {
  ended: number;
  /** By reason, or by kind and outcome of the error. */
  byOutcome: Record<string, number>;
  findings: number;
}

/** Asks each process for what it holds; one that is just being struck has no answer, and is left out. */
export async function soakLine(
  adapter: Adapter,
  totals: SoakTotals,
  when: string,
): Promise<string> {
  const holdings = await adapter.holdings({ skipSilent: true });
  const gateway = holdings.find(({ name }) => name === "gateway");
  const supervisors = holdings.filter(({ name }) => name !== "gateway");
  const mean = (of: (one: (typeof holdings)[number]) => number) =>
    supervisors.reduce((sum, one) => sum + of(one), 0) / Math.max(1, supervisors.length);
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const outcomes = Object.entries(totals.byOutcome)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${outcome} ${count}`);
  return [
    when,
    `${totals.ended} execs ended (${outcomes.join(", ")}), ${totals.findings} findings`,
    gateway === undefined
      ? "gateway: no answer"
      : `gateway ${mb(gateway.rssBytes)} (${mb(gateway.liveBytes)} live), ${gateway.fds} fds, ${gateway.resources["Timeout"] ?? 0} timers, lag ${gateway.lagMaxMs} ms`,
    `supervisors (mean of ${supervisors.length}) ${mb(mean((one) => one.rssBytes))} (${mb(mean((one) => one.liveBytes))} live), ${mean((one) => one.fds).toFixed(0)} fds, lag ${mean((one) => one.lagMaxMs).toFixed(0)} ms`,
    `lab ${mb(process.memoryUsage().rss)}`,
  ].join(" | ");
}
