// schedule.ts: which faults a run gets, from its seed. Each is aimed at an exec, and not at a time: the
// same fault then meets the same work on a fast machine and on a slow one, and an exec can be run again
// with the faults that are its own.
import type { PlannedExec } from "../work/plan.ts";
import { Random } from "../work/random.ts";
import { globalFaults } from "./fault.ts";
import type { Fault, FaultKind } from "./fault.ts";

export type FaultMix = Partial<Record<FaultKind, number>>;

export interface ScheduleOptions {
  /** Part of the execs that a fault is aimed at. */
  rate: number;
  mix: FaultMix;
  /** What is noticed takes so long; faults come shorter than that (to be survived) and longer. */
  noticeMs: number;
  /** Global faults per exec, as each of them meets every exec that runs. */
  globalRate: number;
}

export const everyFault: FaultMix = {
  cut: 24,
  "black-hole": 12,
  delay: 8,
  throttle: 6,
  "idle-close": 6,
  "supervisor-stop": 8,
  "supervisor-kill": 5,
  "supervisor-fds": 4,
  "supervisor-block": 5,
  "session-stuck": 4,
  "ssh-wedge": 6,
  "close-swallowed": 6,
  "exit-status-swallowed": 6,
  "mass-reset": 5,
  "gateway-kill": 2,
  "gateway-stop": 3,
  "gateway-block": 3,
  "gateway-fds": 2,
};

/** The same seed and the same execs give the same faults. */
export function planFaults(
  seed: number,
  execs: readonly PlannedExec[],
  options: ScheduleOptions,
): Fault[] {
  const kinds = Object.keys(options.mix) as FaultKind[];
  const part = (global: boolean) =>
    Object.fromEntries(
      kinds
        .filter((kind) => globalFaults.has(kind) === global)
        .map((kind) => [kind, options.mix[kind]]),
    ) as FaultMix;
  const [local, global] = [part(false), part(true)];
  const faults: Fault[] = [];
  for (const exec of execs) {
    const random = new Random(seed, "fault", exec.n);
    const add = (mix: FaultMix) => {
      if (Object.keys(mix).length === 0) return;
      const kind = random.weighted(mix);
      faults.push({ id: faults.length, ...planFault(kind, exec, random, options) });
    };
    if (random.chance(options.rate)) add(local);
    if (random.chance(options.globalRate)) add(global);
  }
  return faults;
}

function planFault(
  kind: FaultKind,
  exec: PlannedExec,
  random: Random,
  { noticeMs }: ScheduleOptions,
): Omit<Fault, "id"> {
  const aliveMs = exec.work.seconds * 1_000 + 400;
  const fault: Omit<Fault, "id"> = {
    kind,
    exec: exec.n,
    afterMs: random.int(0, Math.round(aliveMs)),
    durationMs: 0,
    path: random.chance(0.35) ? "client" : "supervisor",
    how: random.chance(0.5) ? "rst" : "fin",
    direction: random.pick(["both", "both", "up", "down"] as const),
    amount: 0,
  };
  // Half of them too short for any backstop: those must be survived.
  const lasting = () =>
    random.chance(0.5)
      ? random.int(50, Math.round(noticeMs * 0.6))
      : random.int(Math.round(noticeMs * 1.5), noticeMs * 3);
  switch (kind) {
    case "cut":
      return { ...fault, amount: random.chance(0.4) ? 0 : random.logInt(1, 500_000) };
    case "black-hole":
    case "supervisor-stop":
    case "gateway-stop":
      return { ...fault, durationMs: lasting() };
    case "supervisor-block":
    case "gateway-block":
      return { ...fault, durationMs: random.int(300, 3_000) };
    case "delay":
      return { ...fault, durationMs: random.int(500, 3_000), amount: random.logInt(2, 150) };
    case "throttle":
      return {
        ...fault,
        durationMs: random.int(500, 3_000),
        amount: random.logInt(20_000, 2_000_000),
      };
    case "idle-close":
      return { ...fault, durationMs: random.int(500, 3_000), amount: random.int(100, 600) };
    case "supervisor-fds":
    case "gateway-fds":
      return { ...fault, durationMs: random.int(300, 2_000) };
    // Aimed at its start, so that it is there when the exec is.
    case "session-stuck":
    case "ssh-wedge":
      return { ...fault, durationMs: noticeMs * 4 };
    case "close-swallowed":
    case "exit-status-swallowed":
      return { ...fault, afterMs: 0, durationMs: exec.plannedMs };
    case "mass-reset":
    case "supervisor-kill":
    case "gateway-kill":
      return fault;
    default:
      return kind satisfies never;
  }
}
