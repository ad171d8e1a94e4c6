// run-lab.ts: one run of the lab: work and faults on a system that was started for it, every exec judged.
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { poll, sleepMs } from "@belay/e2e";
import type { Adapter, Holdings, LogEntry } from "../adapters/adapter.ts";
import type { LabConfig } from "../adapters/lab-config.ts";
import type { Fault, Strike } from "../faults/fault.ts";
import { judgeStarts } from "../oracles/judge.ts";
import { judgeGauges, judgeHoldings } from "../oracles/leaks.ts";
import type { Finding } from "../oracles/verdict.ts";
import type { PlannedExec } from "../work/plan.ts";
import { readSideFiles } from "../work/side-files.ts";
import { planExec } from "../work/plan.ts";
import { callExec, judgeExec, sideFolderOf } from "./run-exec.ts";
import type { ExecResult, RunExecDeps } from "./run-exec.ts";
import { StrikeLog } from "./strike-log.ts";

export interface LabRunOptions {
  adapter: Adapter;
  config: LabConfig;
  execs: readonly PlannedExec[];
  faults: readonly Fault[];
  /** Execs at once in each sandbox. */
  lanes: number;
  /** Called for each exec when it has been judged; what was logged around it, only if it is asked for. */
  onResult?: (result: ExecResult, logs: () => LogEntry[]) => void;
  onStrikeFailure?: (text: string) => void;
  /** Gives up what has not begun. */
  signal?: AbortSignal;
  /** Whether what is held at the end is judged; a run that ends with hung execs holds on to things. */
  checkLeaks?: boolean;
}

export interface LabRun {
  results: ExecResult[];
  strikes: Strike[];
  leaks: Finding[];
  /** Programs that ended although no fault ended them. */
  crashes: readonly string[];
  before: Holdings[];
  after: Holdings[];
  tookMs: number;
  parallelism: number;
}

/** Before the next exec of a lane whose last one ended by an error. */
const afterErrorMs = 250;
/** After the last exec, for everything to be let go that is not kept longer on purpose. */
const quietLimitMs = 25_000;

export async function runLab(options: LabRunOptions): Promise<LabRun> {
  const { adapter, config, faults } = options;
  const sideFolder = await mkdtemp(join(tmpdir(), "belay-chaos-"));
  const strikes = new StrikeLog(adapter, options.onStrikeFailure ?? (() => {}));
  const deps: RunExecDeps = { adapter, config, strikes, sideFolder };
  const startedMs = performance.now();
  const crashesBefore = adapter.crashes.length;
  try {
    await warmUp(deps);
    await adapter.rest();
    const before = await adapter.holdings();
    const gaugesBefore = await adapter.gauges();
    const results = await runLanes(options, deps, faultsByExec(faults));
    await strikes.end();
    const { leaks, after } =
      options.checkLeaks === false
        ? { leaks: [], after: [] }
        : await untilReleased(options, before, gaugesBefore);
    await judgeLateStarts(results, deps);
    const tookMs = performance.now() - startedMs;
    const parallelism = availableParallelism();
    const crashes = adapter.crashes.slice(crashesBefore);
    return {
      results,
      strikes: strikes.strikes,
      leaks,
      crashes,
      before,
      after,
      tookMs,
      parallelism,
    };
  } finally {
    await strikes.end();
    await rm(sideFolder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Some execs in each sandbox before the base line is taken: caches and pools are no leaks. */
async function warmUp(deps: RunExecDeps): Promise<void> {
  const { sandboxes } = deps.adapter;
  for (let sandbox = 0; sandbox < sandboxes; sandbox += 1) {
    const calls = [0, 1, 2].map(async (at) => {
      // Numbers that no exec of the run has.
      const planned = planExec(
        1,
        -1 - at - 3 * sandbox,
        sandbox,
        at === 2 ? { large: 1 } : { short: 1 },
      );
      const exec = { ...planned, caller: {} };
      const { view } = await callExec(exec, [], deps);
      if (view.end.is !== "exit")
        throw new Error(`sandbox ${sandbox} does not work: ${JSON.stringify(view.end)}`);
    });
    await Promise.all(calls);
  }
}

function faultsByExec(faults: readonly Fault[]): Map<number, Fault[]> {
  return Map.groupBy(faults, (fault) => fault.exec);
}

/** Each sandbox has its own row of execs, `lanes` of them at a time. */
async function runLanes(
  { adapter, execs, lanes, onResult, signal }: LabRunOptions,
  deps: RunExecDeps,
  faults: ReadonlyMap<number, Fault[]>,
): Promise<ExecResult[]> {
  const results: ExecResult[] = [];
  const verdicts: Promise<void>[] = [];
  const runLane = async (row: Iterator<PlannedExec>): Promise<void> => {
    for (let next = row.next(); !next.done && !signal?.aborted; next = row.next()) {
      const exec = next.value;
      const callStartedMs = Date.now();
      const { view, aliveAtEnd } = await callExec(exec, faults.get(exec.n) ?? [], deps);
      const callEndedMs = Date.now();
      // As any caller does: without it, one outage would use up all the work that was to meet other faults.
      if (view.end.is === "error") await sleepMs(afterErrorMs);
      verdicts.push(
        judgeExec(exec, view, aliveAtEnd, deps).then((result) => {
          results.push(result);
          const logs = () => adapter.logs(exec.sandbox, callStartedMs - 2_000, callEndedMs + 8_000);
          onResult?.(result, logs);
        }),
      );
    }
  };
  const rows = Map.groupBy(execs, (exec) => exec.sandbox);
  await Promise.all(
    [...rows.values()].flatMap((row) => {
      const shared = row.values();
      return Array.from({ length: lanes }, () => runLane(shared));
    }),
  );
  await Promise.all(verdicts);
  return results.sort((a, b) => a.exec.n - b.exec.n);
}

async function untilReleased(
  { adapter, config }: LabRunOptions,
  before: Holdings[],
  gaugesBefore: Record<string, number>,
): Promise<{ leaks: Finding[]; after: Holdings[] }> {
  let leaks: Finding[] = [{ oracle: "leak", detail: "nobody could look" }];
  let after: Holdings[] = [];
  const look = async () => {
    after = await adapter.holdings();
    leaks = [...judgeGauges(gaugesBefore, await adapter.gauges()), ...judgeHoldings(before, after)];
    return leaks.length === 0;
  };
  const limitMs = quietLimitMs + config.execRetentionMs;
  // What is still held at the end of the limit is a leak, and no failure of the lab.
  await poll("everything to be released", look, { limitMs, everyMs: 500 }).catch(() => {});
  return { leaks, after };
}

/** A command that starts after its caller was told that it would not is a lie as well, however late. */
async function judgeLateStarts(results: ExecResult[], deps: RunExecDeps): Promise<void> {
  for (const result of results) {
    const recorded = await readSideFiles(sideFolderOf(result.exec, deps));
    if (recorded.starts.length <= result.recorded.starts.length) continue;
    result.recorded = recorded;
    const { end } = result.view;
    if (end.is === "error" && (end.outcome === "not_started" || end.allGone))
      result.findings.push({ oracle: "lied", detail: `told ${end.kind}, and it ran later` });
    result.findings.push(...judgeStarts(recorded));
  }
}
