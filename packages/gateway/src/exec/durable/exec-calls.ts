// exec-calls.ts: the RPCs of ExecService that are one question to the supervisor.
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  CancelExecResponseSchema,
  GetExecResponseSchema,
  ListExecsResponseSchema,
  ResizeExecResponseSchema,
  SignalExecResponseSchema,
  StartExecResponseSchema,
  WaitExecResponseSchema,
} from "@belay/protocol";
import type {
  CancelExecRequest,
  CancelExecResponse,
  ExecInfo,
  GetExecRequest,
  GetExecResponse,
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
} from "@belay/protocol";
import { invalid, validateExecId, validateSpec, validateTerminalSize } from "../validate-exec.ts";
import { askSupervisor } from "./ask-supervisor.ts";
import type { Question } from "./ask-supervisor.ts";
import { cancelExec, wrongAnswer } from "./cancel-exec.ts";
import type { ConversationDeps } from "./over-conversations.ts";

interface CallOptions {
  readonly signal: AbortSignal;
}

const DEFAULT_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 300_000;

export async function startExec(
  request: StartExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<StartExecResponse> {
  const { sandboxId, execId } = request;
  const spec = validateSpec(request.spec, deps.limits);
  if (execId !== "") validateExecId(execId);
  const exec = await askForInfo(
    {
      sandboxId,
      execId: execId || randomUUID(),
      frame: () => ({ case: "start", value: { spec } }),
      again: "nothing_here",
      sentTo: request.supervisorInstanceId || undefined,
    },
    deps,
    options,
  );
  return create(StartExecResponseSchema, { exec });
}

export async function getExec(
  request: GetExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<GetExecResponse> {
  const exec = await askForInfo(
    { ...named(request), frame: () => ({ case: "get", value: {} }), again: "nothing" },
    deps,
    options,
  );
  return create(GetExecResponseSchema, { exec });
}

export async function waitExec(
  request: WaitExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<WaitExecResponse> {
  const name = named(request);
  if (request.waitMs > LONGEST_WAIT_MS) invalid(`wait_ms is at most ${LONGEST_WAIT_MS}`);
  const untilMs = deps.clock.now() + (request.waitMs || DEFAULT_WAIT_MS);
  const leftMs = () => Math.max(0, Math.ceil(untilMs - deps.clock.now()));
  const exec = await askForInfo(
    {
      ...name,
      frame: () => ({ case: "wait", value: { limitMs: BigInt(leftMs()) } }),
      again: "nothing",
      takesMs: leftMs,
    },
    deps,
    options,
  );
  return create(WaitExecResponseSchema, { exec });
}

export async function listExecs(
  { sandboxId }: ListExecsRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<ListExecsResponse> {
  const { payload } = await askSupervisor(
    { sandboxId, execId: "", frame: () => ({ case: "list", value: {} }), again: "nothing" },
    deps,
    options,
  );
  if (payload.case !== "list") throw wrongAnswer("list", payload.case);
  const execs = payload.value.execs.map((exec) => inSandbox(exec, sandboxId));
  return create(ListExecsResponseSchema, { execs });
}

export async function signalExec(
  request: SignalExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<SignalExecResponse> {
  const exec = named(request);
  const name = request.signal.replace(/^SIG/, "");
  if (!/^[A-Z][A-Z0-9+-]{0,15}$/.test(name)) invalid("signal must be the name of one, as TERM");
  const frame = () => ({ case: "signal", value: { name } }) as const;
  await askForInfo({ ...exec, frame, again: "more" }, deps, options);
  return create(SignalExecResponseSchema);
}

export async function resizeExec(
  request: ResizeExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<ResizeExecResponse> {
  const { cols, rows } = request;
  const exec = named(request);
  if (cols === 0 || rows === 0) invalid("cols and rows are required");
  validateTerminalSize(request, deps.limits);
  const frame = () => ({ case: "resize", value: { cols, rows } }) as const;
  await askForInfo({ ...exec, frame, again: "nothing" }, deps, options);
  return create(ResizeExecResponseSchema);
}

export async function cancelExecCall(
  request: CancelExecRequest,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<CancelExecResponse> {
  const exec = await cancelExec(named(request), deps, options);
  return create(CancelExecResponseSchema, exec && { exec: inSandbox(exec, request.sandboxId) });
}

/** The supervisor does not know by which id its sandbox goes here. */
export function inSandbox(exec: ExecInfo, sandboxId: string): ExecInfo {
  return { ...exec, sandboxId };
}

async function askForInfo(
  question: Question,
  deps: ConversationDeps,
  options: CallOptions,
): Promise<ExecInfo> {
  const frame = question.frame;
  const { payload } = await askSupervisor(question, deps, options);
  if (payload.case !== "info") throw wrongAnswer(frame().case ?? "", payload.case);
  return inSandbox(payload.value, question.sandboxId);
}

function named({ sandboxId, execId }: { sandboxId: string; execId: string }) {
  validateExecId(execId);
  return { sandboxId, execId };
}
