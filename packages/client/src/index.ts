export { createBelayClient } from "./client.ts";
export type { BelayClient, BelayClientOptions } from "./client.ts";
export { ClientError } from "./client-error.ts";
export type { ClientErrorKind } from "./client-error.ts";
export type { Pause, Sha256 } from "./context.ts";
export type { Abortable, ExecHandle, FollowOptions } from "./exec-handle.ts";
export type { StartOptions } from "./exec-spec.ts";
export type {
  ExecExit,
  ExecInfo,
  ExecStateName,
  ExitReason,
  LogRange,
  OutputStreamName,
  StreamTotals,
} from "./exec-views.ts";
export type {
  DroppedEvent,
  EndOfLogEvent,
  ExecEvent,
  ExitEvent,
  FollowEvent,
  OutputEvent,
} from "./follow-exec.ts";
export type { Forward, ForwardTarget } from "./forward.ts";
export { defaultLimits } from "./limits.ts";
export type { ClientLimits } from "./limits.ts";
export type { ExecOptions, ExecResult, StreamOptions } from "./run-exec.ts";
export type { SandboxInfo, SandboxRef } from "./sandboxes.ts";
export type { StdinInput, StdinProgress } from "./write-stdin.ts";
export { BelayError } from "@belay/protocol";
export type { ErrorIds, ErrorKind, Outcome, RetryAdvice } from "@belay/protocol";
