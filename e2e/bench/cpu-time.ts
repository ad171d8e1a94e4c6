// cpu-time.ts: the CPU time that a process has used, as the kernel counts it.
import { readFile } from "node:fs/promises";
import { sleepMs } from "../src/wait.ts";

export interface CpuSeconds {
  /** User and system time of the process, all its threads. */
  readonly own: number;
  /** That of its children that have ended and were waited for, and of theirs. */
  readonly children: number;
}

/** USER_HZ: what /proc shows is in these, on every Linux that Node runs on. */
export const ticksPerSecond = 100;
/** What follows a client's last byte (closes, log lines) is part of the work and happens within this. */
const afterworkMs = 300;

export async function cpuSeconds(pid: number): Promise<CpuSeconds> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may itself hold spaces and parentheses, so count from the last one: the
  // state after it is field 3, utime, stime, cutime and cstime are the fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = (field: number): number => Number(fields[field - 3]);
  return {
    own: (ticks(14) + ticks(15)) / ticksPerSecond,
    children: (ticks(16) + ticks(17)) / ticksPerSecond,
  };
}

/** What each of the processes used while `work` ran and shortly after, and what `work` returned. */
export async function cpuSecondsOf<T>(
  pids: readonly number[],
  work: () => Promise<T>,
): Promise<{ used: CpuSeconds[]; result: T }> {
  const before = await Promise.all(pids.map(cpuSeconds));
  const result = await work();
  await sleepMs(afterworkMs);
  const after = await Promise.all(pids.map(cpuSeconds));
  const used = after.map(({ own, children }, at) => ({
    own: own - (before[at]?.own ?? Number.NaN),
    children: children - (before[at]?.children ?? Number.NaN),
  }));
  return { used, result };
}
