// judge.ts: holds what the caller was told of an exec against what the work itself wrote down. Pure.
//
// An error with an honest outcome is no lie: whether a system resumes what a fault has broken or says that
// it does not know, both are right. What it may never do is say something that did not happen.
import type { CallerView } from "../adapters/adapter.ts";
import type { LabConfig } from "../adapters/lab-config.ts";
import type { Strike } from "../faults/fault.ts";
import type { PlannedExec } from "../work/plan.ts";
import type { RecordedExec } from "../work/side-files.ts";
import { judgeBytes } from "./judge-bytes.ts";
import { judgeError } from "./judge-error.ts";
import { judgeExit } from "./judge-exit.ts";
import type { Finding } from "./verdict.ts";

export interface Evidence {
  exec: PlannedExec;
  view: CallerView;
  /** Read after the end, and after the grace for survivors. */
  recorded: RecordedExec;
  /** Faults that were on its path while it lived. */
  strikes: readonly Strike[];
  /** Processes of it that lived when its end was told: for an end that says that nothing lives any more. */
  aliveAtEnd: readonly number[];
  /** Processes of it that lived when the grace was over. */
  survivors: readonly number[];
  config: LabConfig;
}

export function judge(evidence: Evidence): Finding[] {
  const { view, recorded } = evidence;
  const findings: Finding[] = view.violations.map((detail) => ({ oracle: "lied", detail }));
  switch (view.end.is) {
    case "hung":
      findings.push({
        oracle: "hung",
        detail: `no end after ${Math.round(view.endedMs - view.startedMs)} ms`,
      });
      break;
    case "exit":
      findings.push(...judgeExit(evidence, view.end));
      break;
    case "error":
      findings.push(...judgeError(evidence, view.end));
      break;
    default:
      view.end satisfies never;
  }
  findings.push(...judgeBytes(evidence), ...judgeStarts(recorded), ...judgeSurvivors(evidence));
  return findings;
}

export function judgeStarts({ starts }: RecordedExec): Finding[] {
  if (starts.length <= 1) return [];
  const pids = starts.map(({ pid, atUptime }) => `pid ${pid} at ${atUptime} s`).join(", ");
  return [{ oracle: "ran twice", detail: `${starts.length} starts: ${pids}` }];
}

function judgeSurvivors({ survivors, recorded }: Evidence): Finding[] {
  // What a command that ended by itself left behind is the command's business.
  const left = new Set(recorded.end === undefined ? [] : recorded.leftBehind);
  const found = survivors.filter((pid) => !left.has(pid));
  if (found.length === 0) return [];
  return [{ oracle: "survivor", detail: `pids ${found.join(", ")} live after the grace` }];
}
