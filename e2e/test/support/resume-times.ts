// resume-times.ts: how long execs were not followed though their supervisor was reachable, as their gateway measured it.
import type { Deployment } from "../../src/deployment.ts";

/** Milliseconds, of each resumption that this gateway has seen, the shortest first. */
export function resumeTimesMs({ gateway }: Deployment, after = 0): number[] {
  const times = gateway.events("exec.resumed", after).map(({ fields }) => Number(fields["tookMs"]));
  return times.sort((a, b) => a - b);
}

export function p50(sorted: readonly number[]): number {
  const middle = sorted[Math.floor((sorted.length - 1) / 2)];
  if (middle === undefined) throw new Error("there is nothing to take the median of");
  return middle;
}
