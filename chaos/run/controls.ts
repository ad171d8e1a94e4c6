// controls.ts: what each backstop is worth: its faults with it and without it, all else the same. With it
// off there must be hangs: that is also the proof that the lab would see one.
import { startBelay } from "../adapters/belay.ts";
import type { BelayAdapter } from "../adapters/belay.ts";
import { configForControl, controlForm } from "../adapters/lab-config.ts";
import type { Backstop, ExecForm, LabConfig } from "../adapters/lab-config.ts";
import type { Fault, FaultKind } from "../faults/fault.ts";
import type { FaultMix } from "../faults/schedule.ts";
import { limitMs, noticeMs } from "../oracles/bounds.ts";
import { columns } from "../report/table.ts";
import { plannedMs } from "../work/plan.ts";
import { planRun } from "./plan-run.ts";
import type { RunPlan } from "./plan-run.ts";
import { runLab } from "./run-lab.ts";
import type { LabRun } from "./run-lab.ts";

export interface ControlRow {
  backstop: Backstop;
  form: ExecForm;
  faults: string[];
  execs: number;
  /** Execs that hung, and execs that any other oracle found something at. */
  hungWith: number;
  otherWith: number;
  hungWithout: number;
  otherWithout: number;
  boundMs: number;
}

/** The faults that only this backstop ends in time. */
export function matchingFaults(backstop: Backstop): FaultMix {
  switch (backstop) {
    case "keepalive":
      return { "black-hole": 1 };
    case "heartbeat":
    case "session-fanout": // the session ends by its heartbeats, the connection and its relays live on
      return { "session-stuck": 1 };
    case "ssh-keepalive":
      return { "ssh-wedge": 1 };
    case "post-exit-bound":
      return { "close-swallowed": 1 };
    default:
      return backstop satisfies never;
  }
}

export interface ControlOptions {
  seed: number;
  backstops: readonly Backstop[];
  /** Default: the one in which each backstop matters. */
  form?: ExecForm;
  /** Of each backstop, with it and without it. One exec runs in each. */
  sandboxes: number;
  /** Called when all programs are up; from then on the controls mostly wait. */
  onStarted?: () => void;
  onProgress?: (text: string) => void;
}

export async function runControls(options: ControlOptions): Promise<ControlRow[]> {
  await using systems = new AsyncDisposableStack();
  const start = async (backstop: Backstop, without: ReadonlySet<Backstop>) => {
    const { sandboxes } = options;
    return systems.use(
      await startBelay({ sandboxes, config: configForControl(backstop, options.form), without }),
    );
  };
  // All are up before the first exec: next to a start of dozens of programs it would not run yet when it is struck.
  const sides = await Promise.all(
    options.backstops.map(async (backstop) => ({
      backstop,
      withIt: await start(backstop, new Set()),
      withoutIt: await start(backstop, new Set([backstop])),
    })),
  );
  options.onStarted?.();
  // And then all of them at once: they mostly wait, each for the limit of an exec that hangs.
  return await Promise.all(sides.map((side) => runControl(side, options)));
}

interface ControlSides {
  backstop: Backstop;
  withIt: BelayAdapter;
  withoutIt: BelayAdapter;
}

async function runControl(sides: ControlSides, options: ControlOptions): Promise<ControlRow> {
  const { backstop } = sides;
  const [withIt, withoutIt] = await Promise.all([
    runSide(backstop, sides.withIt, options),
    runSide(backstop, sides.withoutIt, options),
  ]);
  const kinds = Object.keys(matchingFaults(backstop)) as FaultKind[];
  const form = options.form ?? controlForm(backstop);
  const config = configForControl(backstop, form);
  const notice = Math.max(...kinds.map((kind) => noticeMs(kind, config)));
  const row: ControlRow = {
    backstop,
    form,
    faults: kinds,
    execs: withIt.results.length,
    hungWith: hung(withIt),
    otherWith: other(withIt),
    hungWithout: hung(withoutIt),
    otherWithout: other(withoutIt),
    boundMs: form === "plain" ? notice : notice + config.resumeWindowMs,
  };
  options.onProgress?.(`${backstop}: hung ${row.hungWith} with, ${row.hungWithout} without`);
  return row;
}

/** The command runs, silently, when the fault comes; the fault stays so much longer than the lab waits for an end. */
const commandSeconds = 3;
const strikeAfterMs = 2_000;
const faultMarginMs = 2_000;

/** Execs of which each is struck by a fault that only this backstop ends in time. */
export function planControl(
  backstop: Backstop,
  size: { seed: number; execs: number; sandboxes: number },
  config: LabConfig,
): RunPlan {
  const plan = planRun({
    ...size,
    config,
    faultRate: 1,
    globalRate: 0,
    faults: matchingFaults(backstop),
    work: { silent: 1 },
  });
  const execs = plan.execs.map((exec) => {
    const work = { ...exec.work, seconds: commandSeconds };
    return { ...exec, work, caller: {}, plannedMs: plannedMs(work, {}) };
  });
  const faults = plan.faults.map((planned): Fault => {
    const fault: Fault = { ...planned, direction: "both", afterMs: strikeAfterMs };
    const exec = execs[fault.exec]!;
    const endless = { ...fault, durationMs: Infinity };
    const strike = { fault: endless, sandbox: exec.sandbox, startedMs: 0, notes: [] };
    const hungAfterMs = limitMs(exec, [strike], config, { isRunning: true });
    return { ...fault, durationMs: hungAfterMs - strikeAfterMs + faultMarginMs };
  });
  return { execs, faults };
}

async function runSide(
  backstop: Backstop,
  adapter: BelayAdapter,
  { seed, sandboxes, form }: ControlOptions,
): Promise<LabRun> {
  const config = configForControl(backstop, form);
  const plan = planControl(backstop, { seed, execs: sandboxes, sandboxes }, config);
  return await runLab({ adapter, config, ...plan, lanes: 1, checkLeaks: false });
}

function hung({ results }: LabRun): number {
  return results.filter(({ findings }) => findings.some(({ oracle }) => oracle === "hung")).length;
}

function other({ results }: LabRun): number {
  return results.filter(({ findings }) => findings.some(({ oracle }) => oracle !== "hung")).length;
}

export function controlTable(rows: readonly ControlRow[]): string {
  const head = ["backstop", "form", "fault", "execs", "bound", "hung with it", "hung without it"];
  const body = rows.map(({ backstop, form, faults, execs, boundMs, hungWith, hungWithout }) =>
    [backstop, form, faults.join(", "), execs, `${boundMs} ms`, hungWith, hungWithout].map(String),
  );
  return `${columns([head, ...body]).join("\n")}\n`;
}
