// caller-error.ts: what a caller of Belay makes of a call that ended by an error. Pure.
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@belay/protocol";
import type { CallerEnd } from "./adapter.ts";

export interface CallerSide {
  /** What the caller itself wished for and so knows. */
  wished: "caller_cancel" | undefined;
  hasDeadline: boolean;
  /** Whether its own connection is gone. */
  connectionGone: boolean;
  /** Whether the exit event had come before. */
  exited: boolean;
}

export interface CallerError {
  end: Extract<CallerEnd, { is: "error" }>;
  violations: string[];
  execId?: string;
}

export function callerError(reason: unknown, side: CallerSide): CallerError {
  const error = ConnectError.from(reason);
  const [detail] = error.findDetails(ErrorDetailSchema);
  const deadline = side.hasDeadline && error.code === Code.DeadlineExceeded;
  const wished = side.wished ?? (deadline ? "caller_deadline" : undefined);
  const callersOwn = wished !== undefined || side.connectionGone;
  // A caller whose own clock, wish or connection ends the call after the exit event and before the end of
  // the stream knows an exit that it does not trust. Said by the server, it is a contradiction.
  const contradicts = side.exited && (detail !== undefined || !callersOwn);
  const violations = contradicts ? [`an error after the exit: ${error.message}`] : [];
  const message = error.rawMessage;
  if (detail !== undefined) {
    const { kind, outcome, execId } = detail;
    return {
      end: { is: "error", kind, outcome, callersOwn: false, message },
      violations,
      execId,
    };
  }
  const kind = wished ?? (side.connectionGone ? "connection_lost" : `code_${Code[error.code]}`);
  // What @belay/protocol makes of an error without detail: the caller does not know.
  const outcome = callersOwn ? "unknown" : undefined;
  return { end: { is: "error", kind, outcome, callersOwn, message }, violations };
}
