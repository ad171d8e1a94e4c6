// run-exec.ts: one exec of the lab, from its call to its verdict.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sleepMs } from "@belay/e2e";
import type { Adapter, Call, CallerEnd, CallerView } from "../adapters/adapter.ts";
import type { LabConfig } from "../adapters/lab-config.ts";
import type { Fault, Strike } from "../faults/fault.ts";
import { limitMs, survivorGraceMs } from "../oracles/bounds.ts";
import { judge } from "../oracles/judge.ts";
import type { Finding } from "../oracles/verdict.ts";
import { commandOf, inputOf } from "../work/command.ts";
import type { PlannedExec } from "../work/plan.ts";
import { readSideFiles } from "../work/side-files.ts";
import type { RecordedExec } from "../work/side-files.ts";
import { livePids } from "./process-scan.ts";
import type { StrikeLog } from "./strike-log.ts";

export interface ExecResult {
  exec: PlannedExec;
  view: CallerView;
  recorded: RecordedExec;
  strikes: Strike[];
  findings: Finding[];
}

export interface RunExecDeps {
  adapter: Adapter;
  config: LabConfig;
  strikes: StrikeLog;
  /** Holds a folder for each exec. */
  sideFolder: string;
}

/** Between two looks at an exec that has not ended yet. */
const watchEveryMs = 200;

/** Calls it and strikes it. Resolves at its end, as told to the caller; the verdict comes later. */
export async function callExec(
  exec: PlannedExec,
  faults: readonly Fault[],
  deps: RunExecDeps,
): Promise<{ view: CallerView; aliveAtEnd: number[] }> {
  const side = sideFolderOf(exec, deps);
  await mkdir(side, { recursive: true });
  const call = deps.adapter.call({
    exec,
    command: commandOf(exec.work, side),
    environment: deps.adapter.markers.environment(exec),
    input: inputOf(exec.work),
  });
  for (const fault of faults) deps.strikes.plan(fault, exec);
  const watching = watchForHang(exec, call, deps);
  const view = await call.view;
  watching.stop();
  // Asked at once, as it is a question about this very moment.
  if (!saysAllGone(view.end)) return { view, aliveAtEnd: [] };
  return { view, aliveAtEnd: livePids(deps.adapter.markers.ofExec(exec), { fresh: true }) };
}

function saysAllGone(end: CallerEnd): boolean {
  if (end.is === "exit") return end.reason === "timed_out";
  return end.is === "error" && end.allGone === true;
}

/** The limit grows with each fault that comes onto the path, so it is asked for again and again. */
function watchForHang(exec: PlannedExec, call: Call, deps: RunExecDeps): { stop: () => void } {
  const startedMs = performance.now();
  let stopped = false;
  const isOver = async (): Promise<boolean> => {
    const touching = deps.strikes.touching({
      sandbox: exec.sandbox,
      startedMs,
      endedMs: undefined,
    });
    // Counted from the last message: what still delivers is slow, and not hung; and no work delivers for ever.
    const tookMs = performance.now() - Math.max(startedMs, call.lastMessageMs);
    const limit = (isRunning: boolean) => limitMs(exec, touching, deps.config, { isRunning });
    if (tookMs <= limit(true)) return false;
    if (tookMs > limit(false)) return true;
    return (await readSideFiles(sideFolderOf(exec, deps))).starts.length > 0;
  };
  const watch = async () => {
    while (!stopped) {
      if (await isOver()) return call.giveUp();
      await sleepMs(watchEveryMs);
    }
  };
  void watch();
  return { stop: () => (stopped = true) };
}

/** Waits until nothing of it lives, at most for the grace, and judges it. */
export async function judgeExec(
  exec: PlannedExec,
  view: CallerView,
  aliveAtEnd: number[],
  deps: RunExecDeps,
): Promise<ExecResult> {
  const { startedMs, endedMs } = view;
  const touching = () => deps.strikes.touching({ sandbox: exec.sandbox, startedMs, endedMs });
  let survivors: number[];
  let recorded = await readSideFiles(sideFolderOf(exec, deps));
  for (;;) {
    survivors = livePids(deps.adapter.markers.ofExec(exec));
    if (survivors.length === 0) break;
    recorded = await readSideFiles(sideFolderOf(exec, deps));
    if (survivors.every((pid) => recorded.end !== undefined && recorded.leftBehind.includes(pid)))
      break;
    // A fault after the end can still keep a sandbox from noticing what it has to end.
    const since = deps.strikes.touching({
      sandbox: exec.sandbox,
      startedMs,
      endedMs: performance.now(),
    });
    if (performance.now() - endedMs > survivorGraceMs(since, deps.config)) break;
    await sleepMs(watchEveryMs);
  }
  recorded = await readSideFiles(sideFolderOf(exec, deps));
  const strikes = touching();
  const evidence = { exec, view, recorded, strikes, aliveAtEnd, survivors, config: deps.config };
  const findings = judge(evidence);
  for (const pid of survivors) kill(pid);
  return { exec, view, recorded, strikes, findings };
}

export function sideFolderOf(
  exec: PlannedExec,
  { sideFolder }: Pick<RunExecDeps, "sideFolder">,
): string {
  return join(sideFolder, String(exec.n));
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended since.
  }
}
