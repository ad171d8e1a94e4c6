// error-kinds.ts: the closed set of ways a call can fail, and what each means to the caller.
import { Code } from "@connectrpc/connect";

/** Whether the command may have run (rule of truth 5). */
export type Outcome = "not_started" | "running" | "completed" | "unknown";

/**
 * What the caller may do: `now` and `later` are safe, nothing ran; `never`: the same call fails
 * again; `follow`: it may have run, so look before running it again.
 */
export type RetryAdvice = "now" | "later" | "never" | "follow";

export interface ErrorKindRule {
  readonly code: Code;
  /** What is known when nothing more is said; the thrower may know better. */
  readonly outcome: Outcome;
  /** Advice while the outcome is `not_started`; any other outcome means `follow`. */
  readonly retry: Exclude<RetryAdvice, "follow">;
}

/** Milliseconds that go with the advice `later`. */
export const RETRY_LATER_MS = 1_000;

function rule(code: Code, outcome: Outcome, retry: Exclude<RetryAdvice, "follow">): ErrorKindRule {
  return { code, outcome, retry };
}

export const ERROR_KINDS = {
  // The request itself.
  invalid_request: rule(Code.InvalidArgument, "not_started", "never"),
  protocol_violation: rule(Code.InvalidArgument, "not_started", "never"),
  unauthenticated: rule(Code.Unauthenticated, "not_started", "never"),
  permission_denied: rule(Code.PermissionDenied, "not_started", "never"),
  unimplemented: rule(Code.Unimplemented, "not_started", "never"),
  limit_exceeded: rule(Code.ResourceExhausted, "not_started", "later"),

  // The sandbox and the way to it.
  sandbox_not_found: rule(Code.NotFound, "not_started", "never"),
  sandbox_not_ready: rule(Code.FailedPrecondition, "not_started", "later"),
  session_wait_timeout: rule(Code.Unavailable, "not_started", "now"),
  session_superseded: rule(Code.Aborted, "not_started", "later"),
  session_lost: rule(Code.Unavailable, "not_started", "now"),
  relay_open_timeout: rule(Code.DeadlineExceeded, "not_started", "now"),
  relay_dropped: rule(Code.Unavailable, "not_started", "now"),
  relay_refused: rule(Code.Unavailable, "not_started", "now"),
  relay_not_found: rule(Code.NotFound, "not_started", "never"),
  ssh_handshake_failed: rule(Code.Unavailable, "not_started", "now"),

  // The exec.
  exec_start_failed: rule(Code.Unavailable, "not_started", "now"),
  exec_start_timeout: rule(Code.Unavailable, "unknown", "now"),
  relay_lost: rule(Code.Unavailable, "unknown", "now"),
  termination_unconfirmed: rule(Code.Unavailable, "running", "now"),
  supervisor_stopping: rule(Code.Unavailable, "unknown", "now"),
  gateway_draining: rule(Code.Unavailable, "not_started", "now"),
  gateway_stopping: rule(Code.Unavailable, "running", "now"),

  // A durable exec.
  exec_not_found: rule(Code.NotFound, "unknown", "never"),
  exec_conflict: rule(Code.AlreadyExists, "not_started", "never"),
  exec_fenced: rule(Code.Aborted, "not_started", "never"),
  exec_ended: rule(Code.FailedPrecondition, "completed", "never"),
  offset_out_of_range: rule(Code.OutOfRange, "running", "never"),
  exec_lost: rule(Code.Unavailable, "unknown", "now"),
  resume_window_ended: rule(Code.Unavailable, "unknown", "now"),

  // The caller.
  canceled: rule(Code.Canceled, "unknown", "now"),
  deadline_exceeded: rule(Code.DeadlineExceeded, "unknown", "now"),

  // Ours.
  internal: rule(Code.Internal, "unknown", "now"),
} as const satisfies Record<string, ErrorKindRule>;

export type ErrorKind = keyof typeof ERROR_KINDS;

export function isErrorKind(name: string): name is ErrorKind {
  return Object.hasOwn(ERROR_KINDS, name);
}

/** Of a peer, which may be newer: a text outside the closed set says nothing. */
export function parseOutcome(text: string): Outcome {
  return text === "not_started" || text === "running" || text === "completed" ? text : "unknown";
}

/** What to tell the caller of an error of this kind that ended with this outcome. */
export function retryAdvice(kind: ErrorKind, outcome: Outcome): RetryAdvice {
  return outcome === "not_started" ? ERROR_KINDS[kind].retry : "follow";
}
