// judge-exit.ts: an exit that a caller was told: is it what the process did?
import type { CallerEnd } from "../adapters/adapter.ts";
import type { Evidence } from "./judge.ts";
import type { Finding } from "./verdict.ts";

type Exit = Extract<CallerEnd, { is: "exit" }>;

const signalNumbers: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ABRT: 6,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
};

/** The work notes its end just before it; a timer may be so much earlier than its second hand. */
const clockToleranceMs = 300;

export function judgeExit(evidence: Evidence, exit: Exit): Finding[] {
  const { recorded } = evidence;
  // One that is ended before its first line (Node, on a busy machine, takes a second to it) records nothing.
  if (exit.reason === "timed_out") return judgeTimeout(evidence, exit);
  if (recorded.starts.length === 0) return lied(`${tell(exit)}, but it never started`);
  const { end } = recorded;
  if (end === undefined) return lied(`${tell(exit)}, but the process recorded no end`);
  if (end.is === "exit") {
    const right =
      exit.exitCode === end.exitCode && exit.signal === "" && exit.reason !== "signaled";
    return right ? [] : lied(`${tell(exit)}, but the process exited with ${end.exitCode}`);
  }
  const number = signalNumbers[end.signal] ?? Number.NaN;
  // Without room for the name, 128 + n is how a signal is told; with room, the name has to be right.
  const right =
    exit.exitCode === 128 + number && (exit.reason === "" || exit.signal === end.signal);
  return right ? [] : lied(`${tell(exit)}, but the process died by ${end.signal}`);
}

function judgeTimeout({ exec, view, recorded, aliveAtEnd }: Evidence, exit: Exit): Finding[] {
  const { timeoutSeconds } = exec.caller;
  if (timeoutSeconds === undefined) return lied(`${tell(exit)}, but it had no timeout`);
  const findings: Finding[] = [];
  const tookMs = view.endedMs - view.startedMs;
  if (tookMs < timeoutSeconds * 1_000 - clockToleranceMs)
    findings.push(...lied(`${tell(exit)} after ${Math.round(tookMs)} ms of ${timeoutSeconds} s`));
  if (exit.exitCode !== 124)
    findings.push(...lied(`${tell(exit)}, but 124 is the code of a timeout`));
  // 124 says that the group is gone.
  if (aliveAtEnd.length > 0)
    findings.push(...lied(`${tell(exit)}, but pids ${aliveAtEnd.join(", ")} were alive`));
  const [start] = recorded.starts;
  const { end } = recorded;
  if (end !== undefined && start !== undefined && !recorded.heardTerm) {
    const ranMs = (end.atUptime - start.atUptime) * 1_000;
    // It began after the timeout did, so that an end of its own may be a little short of it.
    const startLagMs = Math.max(clockToleranceMs, tookMs - timeoutSeconds * 1_000);
    if (ranMs < timeoutSeconds * 1_000 - startLagMs - clockToleranceMs)
      findings.push(...lied(`${tell(exit)}, but it ended by itself after ${Math.round(ranMs)} ms`));
  }
  return findings;
}

function tell({ exitCode, signal, reason }: Exit): string {
  return `told ${reason || "exit"} ${exitCode}${signal === "" ? "" : ` (${signal})`}`;
}

function lied(detail: string): Finding[] {
  return [{ oracle: "lied", detail }];
}
