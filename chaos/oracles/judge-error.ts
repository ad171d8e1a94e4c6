// judge-error.ts: an error that a caller was told: did it have a cause, and is its outcome the truth?
import type { CallerEnd } from "../adapters/adapter.ts";
import type { Evidence } from "./judge.ts";
import type { Finding } from "./verdict.ts";

type CallerError = Extract<CallerEnd, { is: "error" }>;

export function judgeError(evidence: Evidence, error: CallerError): Finding[] {
  return [
    ...judgeCause(evidence, error),
    ...judgeBlame(error),
    ...judgeOutcome(evidence, error),
    ...judgeCancel(evidence, error),
  ];
}

function judgeCause({ exec, strikes }: Evidence, error: CallerError): Finding[] {
  // Where a system knows no timeouts, the caller's own clock ends the exec.
  const { cancelAfterMs, deadlineMs, timeoutSeconds } = exec.caller;
  const wished = cancelAfterMs !== undefined || deadlineMs !== undefined;
  if (timeoutSeconds !== undefined && error.kind === "caller_deadline") return [];
  if (
    wished &&
    (error.callersOwn || error.kind === "canceled" || error.kind === "deadline_exceeded")
  )
    return [];
  if (strikes.length > 0) return [];
  return [
    {
      oracle: "false alarm",
      detail: `${error.kind} (${error.message}), and no fault was on its path`,
    },
  ];
}

/** No fault of a path, of a process or of a machine makes that true. */
function judgeBlame(error: CallerError): Finding[] {
  if (error.kind !== "internal") return [];
  return lied(`told that Belay itself is broken: ${error.message}`);
}

function judgeOutcome({ recorded }: Evidence, { kind, outcome }: CallerError): Finding[] {
  const started = recorded.starts.length > 0;
  switch (outcome) {
    case undefined:
    case "":
      return [{ oracle: "error without outcome", detail: kind }];
    case "unknown":
      return []; // says nothing, and so nothing wrong
    case "not_started":
      return started ? lied(`${kind}: told not_started, but it ran`) : [];
    case "running":
      return started ? [] : lied(`${kind}: told running, but it never started`);
    case "completed":
      // Killed by someone else it leaves no record of its end, but of its start.
      return started ? [] : lied(`${kind}: told completed, but it never started`);
    default:
      return lied(`${kind}: told the outcome ${outcome}, which is none`);
  }
}

/** A cancel that was confirmed, and one that nobody wished for. */
function judgeCancel({ exec, recorded, aliveAtEnd }: Evidence, error: CallerError): Finding[] {
  const { cancelAfterMs, deadlineMs } = exec.caller;
  const wished = cancelAfterMs !== undefined || deadlineMs !== undefined;
  // Of ExecSandbox a client that is gone is a cancel; through the client it has to be asked for.
  if (exec.via === "client" && error.kind === "canceled" && !wished)
    return lied(`told ${error.kind}, and nobody canceled it`);
  if (error.allGone !== true) return [];
  const left = new Set(recorded.end === undefined ? [] : recorded.leftBehind);
  const alive = aliveAtEnd.filter((pid) => !left.has(pid));
  if (alive.length === 0) return [];
  return lied(`${error.kind}: told that all is gone, but pids ${alive.join(", ")} were alive`);
}

function lied(detail: string): Finding[] {
  return [{ oracle: "lied", detail }];
}
