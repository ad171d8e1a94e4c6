// leaks.ts: what a system holds after a run, against what it held before. Pure.
import type { Holdings } from "../adapters/adapter.ts";
import type { Finding } from "./verdict.ts";

export interface HoldingsTolerance {
  /** A supervisor keeps pipes ready, more or fewer of them. */
  fds: number;
  sockets: number;
  timers: number;
  /** On top of the base line. What is live at rest hardly changes. */
  liveBytes: number;
  /** Of the base line, and bytes on top: what allocators have once used they keep. */
  rssFactor: number;
  rssBytes: number;
}

export const holdingsTolerance: HoldingsTolerance = {
  fds: 100,
  sockets: 3,
  timers: 6,
  liveBytes: 16 * 1024 * 1024,
  rssFactor: 1.6,
  rssBytes: 96 * 1024 * 1024,
};

/** Gauges that must be back at their base line exactly. */
export function judgeGauges(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Finding[] {
  return Object.entries(before)
    .filter(([name, value]) => after[name] !== value)
    .map(([name, value]) => leak(`${name} is ${after[name]}, was ${value}`));
}

export function judgeHoldings(
  before: readonly Holdings[],
  after: readonly Holdings[],
  tolerance: HoldingsTolerance = holdingsTolerance,
): Finding[] {
  return before.flatMap((was) => {
    const is = after.find(({ name }) => name === was.name);
    if (is === undefined) return [leak(`${was.name} is gone`)];
    const grown = (what: string, from: number, to: number, allowed: number) =>
      to - from > allowed ? [leak(`${was.name}: ${to} ${what}, was ${from}`)] : [];
    const timers = (holdings: Holdings) => holdings.resources["Timeout"] ?? 0;
    const allowedRss = was.rssBytes * (tolerance.rssFactor - 1) + tolerance.rssBytes;
    return [
      ...grown("descriptors", was.fds, is.fds, tolerance.fds),
      ...grown("sockets", was.sockets, is.sockets, tolerance.sockets),
      ...grown("timers", timers(was), timers(is), tolerance.timers),
      ...grown("live bytes", was.liveBytes, is.liveBytes, tolerance.liveBytes),
      ...grown("bytes of memory", was.rssBytes, is.rssBytes, allowedRss),
    ];
  });
}

function leak(detail: string): Finding {
  return { oracle: "leak", detail };
}
