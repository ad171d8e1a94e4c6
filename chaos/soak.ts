// soak.ts: `npm run soak`: many agents with long execs, under faults, and a line a minute: does anything grow?
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sleepMs } from "@belay/e2e";
import { startBelay } from "./adapters/belay.ts";
import { keepaliveMs, labConfigFor } from "./adapters/lab-config.ts";
import { everyFault, planFaults } from "./faults/schedule.ts";
import { soakLine } from "./report/soak-line.ts";
import type { SoakTotals } from "./report/soak-line.ts";
import { timeline } from "./report/timeline.ts";
import { callExec, judgeExec, sideFolderOf } from "./run/run-exec.ts";
import type { RunExecDeps } from "./run/run-exec.ts";
import { StrikeLog } from "./run/strike-log.ts";
import { planExec, plannedMs, viaOf } from "./work/plan.ts";
import type { PlannedExec, WorkMix } from "./work/plan.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    agents: { type: "string", default: "80" },
    seed: { type: "string", default: "1" },
  },
});
const [minutes, agents, seed] = [values.minutes, values.agents, values.seed].map(Number) as [
  number,
  number,
  number,
];
if (![minutes, agents, seed].every((number) => number > 0))
  throw new Error("soak.ts --minutes M [--agents A] [--seed S]");

/** Long ones, as agents have them; and some of each other kind, for what they leave behind. */
const work: WorkMix = {
  silent: 10,
  chatty: 10,
  large: 3,
  echo: 2,
  short: 3,
  family: 2,
  stubborn: 1,
  signal: 1,
};
const workLimits = { maxOutputBytes: 4 * 1024 * 1024, maxStdinBytes: 256 * 1024, maxSeconds: 60 };
/** One exec of so many is struck; one of so many strikes everyone. */
/** Of the execs, through @belay/client. */
const clientShare = 0.3;
const faultRates = { rate: 0.2, globalRate: 0.001 };

// An exit, unlike the default of these signals, ends what the lab has started as well.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

const config = labConfigFor(agents);
const endAtMs = performance.now() + minutes * 60_000;
const sideFolder = await mkdtemp(join(tmpdir(), "belay-soak-"));
const totals: SoakTotals = { ended: 0, byOutcome: {}, findings: 0 };
let nextExec = 0;

try {
  await using adapter = await startBelay({
    sandboxes: agents,
    config,
    without: new Set(),
  });
  const strikes = new StrikeLog(adapter, (text) => console.error(`# ${text}`));
  const deps: RunExecDeps = { adapter, config, strikes, sideFolder };
  console.log(await soakLine(adapter, totals, "begin"));
  const lanes = Array.from({ length: agents }, (_, sandbox) => runAgent(sandbox, deps));
  const lines = printLines(deps);
  await Promise.all([...lanes, lines]);
  await strikes.end();
  console.log(`${await soakLine(adapter, totals, "end")}`);
  for (const crash of adapter.crashes) console.log(`crashed: ${crash}`);
  process.exitCode = totals.findings + adapter.crashes.length > 0 ? 1 : 0;
} finally {
  await rm(sideFolder, { recursive: true, force: true, maxRetries: 3 });
}
// Nothing is left to wait for by now. But Node, when it ends by itself, waits without end, and with all of a
// core, for sockets that it lost track of (node::Environment::CleanupHandles; 7 of them after 6,400 execs).
process.exit();

async function runAgent(sandbox: number, deps: RunExecDeps): Promise<void> {
  while (performance.now() < endAtMs) {
    const exec = within(planned(sandbox), endAtMs - performance.now());
    const faults = planFaults(seed, [exec], {
      ...faultRates,
      mix: everyFault,
      noticeMs: keepaliveMs(deps.config),
    });
    const calledMs = Date.now();
    const { view, aliveAtEnd } = await callExec(exec, faults, deps);
    const result = await judgeExec(exec, view, aliveAtEnd, deps);
    const { end } = view;
    const outcome =
      end.is === "error"
        ? `${end.kind}/${end.outcome ?? "none"}`
        : end.is === "exit"
          ? end.reason
          : end.is;
    totals.ended++;
    totals.byOutcome[outcome] = (totals.byOutcome[outcome] ?? 0) + 1;
    totals.findings += result.findings.length;
    if (result.findings.length > 0) {
      const logs = deps.adapter.logs(sandbox, calledMs - 2_000, Date.now());
      console.error(timeline(result, logs));
    }
    await rm(sideFolderOf(exec, deps), { recursive: true, force: true });
    deps.strikes.forget(performance.now() - 120_000);
  }
}

function planned(sandbox: number): PlannedExec {
  const n = nextExec++;
  return { ...planExec(seed, n, sandbox, work, workLimits), via: viaOf(seed, n, clientShare) };
}

/** What begins late does not last long; the mix stays what it is, so that the last minute is like the others. */
function within(exec: PlannedExec, leftMs: number): PlannedExec {
  const work = { ...exec.work, seconds: Math.min(exec.work.seconds, Math.ceil(leftMs / 1_000)) };
  return { ...exec, work, plannedMs: plannedMs(work, exec.caller) };
}

async function printLines({ adapter }: RunExecDeps): Promise<void> {
  for (let minute = 1; minute <= minutes; minute++) {
    await sleepMs(Math.max(0, endAtMs - (minutes - minute) * 60_000 - performance.now()));
    console.log(await soakLine(adapter, totals, `minute ${minute}`));
  }
}
