export { BelayError } from "./errors/belay-error.ts";
export type { BelayErrorOptions, ErrorIds } from "./errors/belay-error.ts";
export {
  ERROR_KINDS,
  RETRY_LATER_MS,
  isErrorKind,
  parseOutcome,
  retryAdvice,
} from "./errors/error-kinds.ts";
export type { ErrorKind, ErrorKindRule, Outcome, RetryAdvice } from "./errors/error-kinds.ts";
export { fromConnectError, toConnectError } from "./errors/connect-errors.ts";
export {
  EXEC_ID_HEADER,
  gatewayAudience,
  isExecId,
  isSandboxId,
  isSandboxName,
  sandboxSubject,
} from "./ids.ts";
export { loopbackAddresses } from "./loopback.ts";
export { SSH_CLIENT_SERVICE } from "./relay-services.ts";
export { EXEC_SUBSYSTEM, SUPERVISOR_FEATURES } from "./supervisor-features.ts";
export type { SupervisorFeature } from "./supervisor-features.ts";

export { ErrorDetailSchema } from "./gen/belay/v1/error_detail_pb.ts";
export type { ErrorDetail } from "./gen/belay/v1/error_detail_pb.ts";
export { OpenShell } from "./gen/openshell/v1/openshell_pb.ts";
export {
  GetSandboxRequestSchema,
  ListSandboxesRequestSchema,
  ListSandboxesResponseSchema,
  SandboxPhase,
  SandboxResponseSchema,
  SandboxSchema,
} from "./gen/openshell/v1/sandbox_pb.ts";
export type {
  GetSandboxRequest,
  ListSandboxesRequest,
  ListSandboxesResponse,
  Sandbox,
  SandboxResponse,
} from "./gen/openshell/v1/sandbox_pb.ts";
export {
  CreateSshSessionResponseSchema,
  GetCurrentUserResponseSchema,
  GetGatewayInfoResponseSchema,
  HealthResponseSchema,
  RevokeSshSessionResponseSchema,
  ServiceStatus,
  TcpForwardFrameSchema,
  TcpForwardInitSchema,
} from "./gen/openshell/v1/access_pb.ts";
export type {
  CreateSshSessionRequest,
  CreateSshSessionResponse,
  GetCurrentUserResponse,
  HealthResponse,
  RevokeSshSessionRequest,
  RevokeSshSessionResponse,
  TcpForwardFrame,
  TcpForwardInit,
} from "./gen/openshell/v1/access_pb.ts";
export {
  ExecSandboxEventSchema,
  ExecSandboxExitSchema,
  ExecSandboxInputSchema,
  ExecSandboxRequestSchema,
} from "./gen/openshell/v1/exec_pb.ts";
export type {
  ExecSandboxEvent,
  ExecSandboxExit,
  ExecSandboxInput,
  ExecSandboxRequest,
} from "./gen/openshell/v1/exec_pb.ts";
export {
  GatewayMessageSchema,
  RelayFrameSchema,
  SupervisorMessageSchema,
} from "./gen/openshell/v1/supervisor_pb.ts";
export type {
  GatewayMessage,
  RelayFrame,
  RelayOpen,
  SupervisorMessage,
  TcpRelayTarget,
} from "./gen/openshell/v1/supervisor_pb.ts";

export {
  ExecDroppedSchema,
  ExecExitSchema,
  ExecInfoSchema,
  ExecOutputSchema,
  ExecSpecSchema,
  ExecState,
  LogOverflow,
  OutputStream,
  StreamTotalsSchema,
} from "./gen/belay/v1/exec_pb.ts";
export type {
  ExecDropped,
  ExecExit,
  ExecInfo,
  ExecOutput,
  ExecSpec,
  StreamTotals,
  Terminal,
} from "./gen/belay/v1/exec_pb.ts";
export {
  FollowFrameSchema,
  GatewayFrameSchema,
  SupervisorFrameSchema,
} from "./gen/belay/v1/exec_frames_pb.ts";
export type {
  FollowFrame,
  GatewayFrame,
  StartFrame,
  StdinFrame,
  SupervisorFrame,
} from "./gen/belay/v1/exec_frames_pb.ts";
export {
  CancelExecResponseSchema,
  ExecService,
  FollowExecEventSchema,
  GetExecResponseSchema,
  GetSupervisorRequestSchema,
  GetSupervisorResponseSchema,
  ListExecsResponseSchema,
  ResizeExecResponseSchema,
  SignalExecResponseSchema,
  StartExecRequestSchema,
  StartExecResponseSchema,
  WaitExecResponseSchema,
  WriteStdinResponseSchema,
} from "./gen/belay/v1/exec_service_pb.ts";
export type {
  CancelExecRequest,
  CancelExecResponse,
  FollowExecEvent,
  FollowExecRequest,
  GetExecRequest,
  GetExecResponse,
  GetSupervisorRequest,
  GetSupervisorResponse,
  ListExecsRequest,
  ListExecsResponse,
  ResizeExecRequest,
  ResizeExecResponse,
  SignalExecRequest,
  SignalExecResponse,
  StartExecRequest,
  StartExecResponse,
  WaitExecRequest,
  WaitExecResponse,
  WriteStdinRequest,
  WriteStdinResponse,
} from "./gen/belay/v1/exec_service_pb.ts";
