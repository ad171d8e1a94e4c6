// plan-run.ts: all that a run will do, from its seed: the same options give the same plan.
import { keepaliveMs } from "../adapters/lab-config.ts";
import type { LabConfig } from "../adapters/lab-config.ts";
import type { Fault } from "../faults/fault.ts";
import { everyFault, planFaults } from "../faults/schedule.ts";
import type { FaultMix } from "../faults/schedule.ts";
import { defaultWorkLimits, everyWork, planExec, viaOf } from "../work/plan.ts";
import type { PlannedExec, WorkLimits, WorkMix } from "../work/plan.ts";

export interface RunPlanOptions {
  seed: number;
  execs: number;
  sandboxes: number;
  config: LabConfig;
  faultRate?: number;
  globalRate?: number;
  faults?: FaultMix;
  work?: WorkMix;
  workLimits?: WorkLimits;
  /** Part of the execs that go through @belay/client; default 0. */
  clientShare?: number;
}

export interface RunPlan {
  execs: PlannedExec[];
  faults: Fault[];
}

/** Part of the execs that a fault is aimed at; each also meets others that run beside its own. */
export const defaultFaultRate = 0.1;
/** Global faults meet every sandbox, so that a run needs few of them. */
const globalFaultsPerExecAndSandbox = 0.06;

export function planRun(options: RunPlanOptions): RunPlan {
  const { seed, sandboxes } = options;
  const { work = everyWork, workLimits = defaultWorkLimits, clientShare = 0 } = options;
  const execs = Array.from({ length: options.execs }, (_, n) => ({
    ...planExec(seed, n, n % sandboxes, work, workLimits),
    via: viaOf(seed, n, clientShare),
  }));
  const faults = planFaults(seed, execs, {
    rate: options.faultRate ?? defaultFaultRate,
    globalRate: options.globalRate ?? globalFaultsPerExecAndSandbox / sandboxes,
    mix: options.faults ?? everyFault,
    noticeMs: keepaliveMs(options.config),
  });
  return { execs, faults };
}

/** One exec alone, with the faults that are aimed at it, or with those that struck it in the run. */
export function onlyExec(
  plan: RunPlan,
  n: number,
  struck: readonly { id: number; afterMs: number }[],
): RunPlan {
  const exec = plan.execs[n];
  if (exec === undefined) throw new Error(`the run has no exec ${n}`);
  const faults =
    struck.length === 0
      ? plan.faults.filter((fault) => fault.exec === n)
      : struck.map(({ id, afterMs }) => {
          const fault = plan.faults[id];
          if (fault === undefined) throw new Error(`the run has no fault ${id}`);
          return { ...fault, exec: n, afterMs };
        });
  return { execs: [{ ...exec, sandbox: 0 }], faults };
}
