// start-truth.ts: what an error says of an exec whose start the supervisor has not answered. Pure.
import { BelayError } from "@belay/protocol";

/** @param sends how often the start was sent, always to the same supervisor. */
export function startFailure(error: BelayError, sends: number): BelayError {
  if (sends === 0) return error.with({ outcome: "not_started" });
  if (isGone(error)) return execLost(error);
  switch (error.outcome) {
    case "not_started":
      // One that was sent before may still arrive, unless it would be refused like this one.
      return sends === 1 || error.retry === "never" ? error : error.with({ outcome: "unknown" });
    case "running":
      return error.with({ outcome: "unknown" });
    case "completed":
    case "unknown":
      return error;
    default:
      return error.outcome satisfies never;
  }
}

/** Whether the supervisor that is there now cannot have an exec that another one may have started. */
export function isGone({ kind }: BelayError): boolean {
  return kind === "exec_not_found" || kind === "unimplemented";
}

export function execLost(cause?: BelayError): BelayError {
  const message = "the sandbox's supervisor was replaced, and the exec was lost with it";
  return new BelayError("exec_lost", message, { cause });
}
