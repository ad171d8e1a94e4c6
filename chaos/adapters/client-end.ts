// client-end.ts: what a caller of @belay/client makes of an exec's end. Pure.
import { BelayError, ClientError } from "@belay/client";
import type { ExecExit, ExitEvent } from "@belay/client";
import type { CallerEnd } from "./adapter.ts";

type CallerError = Extract<CallerEnd, { is: "error" }>;

/** Why the lab's caller aborts its call. The client hands it back when all of the exec is gone. */
export class Wish extends Error {
  readonly kind: "caller_cancel" | "caller_deadline";
  constructor(kind: Wish["kind"]) {
    super(kind);
    this.kind = kind;
  }
}

/** As ExecSandbox has it: what others ended, or nobody followed, has no exit of its own. */
export function endOfExit(exit: ExecExit): CallerEnd {
  const { reason, exitCode, signal = "", outputIncomplete } = exit;
  switch (reason) {
    case "exited":
    case "signaled":
    case "timed_out":
      return { is: "exit", exitCode, signal, reason: reason as "exited", outputIncomplete };
    case "canceled":
      return errorEnd("canceled", { outcome: "completed", allGone: true });
    case "lost":
      return errorEnd("exec_lost", { outcome: "completed", allGone: true });
    default:
      return errorEnd(`reason_${reason}`);
  }
}

export function endOfError(error: unknown): CallerError {
  if (error instanceof Wish)
    return errorEnd(error.kind, { outcome: "unknown", callersOwn: true, allGone: true });
  const message = String(error);
  if (error instanceof BelayError || error instanceof ClientError)
    return errorEnd(error.kind, { outcome: error.outcome, message });
  return errorEnd("not_belays", { message });
}

/** What the client says of the output with the exit, against what came. */
export function contradictions(
  { exit, verified }: ExitEvent,
  receivedBytes: (stream: "stdout" | "stderr") => number,
): string[] {
  const wrong = (["stdout", "stderr"] as const)
    .filter((stream) => exit[stream].bytes !== receivedBytes(stream))
    .map(
      (stream) => `told ${exit[stream].bytes} bytes of ${stream}, ${receivedBytes(stream)} came`,
    );
  // All execs are followed from their first byte on, and nobody asked for a log that drops.
  return verified ? wrong : [...wrong, "an exit that is not verified"];
}

function errorEnd(kind: string, more: Partial<CallerError> = {}): CallerError {
  return { is: "error", kind, outcome: undefined, callersOwn: false, message: "", ...more };
}
