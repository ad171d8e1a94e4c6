// machine.ts: what the bench ran on, and who else was busy there.
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, release } from "node:os";
import { cpuSeconds, ticksPerSecond } from "./cpu-time.ts";
import { sum } from "./statistics.ts";

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly node: string;
  readonly kernel: string;
}

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    node: process.version,
    kernel: release(),
  };
}

/**
 * A bench on a machine that has other things to do measures those too, and its figures do not show it.
 * So it says how much of the machine others took since this call.
 */
export async function watchNeighbours(): Promise<{ cpuPercent(): Promise<number> }> {
  const before = await readCpu();
  return {
    /** Of all cores. Call it when all that the bench started has ended: only then the kernel counts that as ours. */
    async cpuPercent() {
      const after = await readCpu();
      const others = after.busy - before.busy - (after.ours - before.ours);
      return Math.max(0, (others / (after.all - before.all)) * 100);
    },
  };
}

/** Seconds of CPU time since the machine's start: in all, spent, and spent by us and those that we waited for. */
async function readCpu(): Promise<{ all: number; busy: number; ours: number }> {
  const [firstLine = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  // user nice system idle iowait irq softirq steal; what follows is contained in the first two.
  const ticks = firstLine.trim().split(/\s+/).slice(1, 9).map(Number);
  const [, , , idle = 0, iowait = 0] = ticks;
  const { own, children } = await cpuSeconds(process.pid);
  return {
    all: sum(ticks) / ticksPerSecond,
    busy: (sum(ticks) - idle - iowait) / ticksPerSecond,
    ours: own + children,
  };
}
