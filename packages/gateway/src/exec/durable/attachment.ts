// attachment.ts: what a follower of an exec knows, whatever becomes of the conversations that it follows
// over: whether the exec was started, and how far each output has been passed on. Pure.
import { BelayError, OutputStream } from "@belay/protocol";
import type { ExecDropped, ExecExit, ExecInfo, ExecOutput, ExecSpec } from "@belay/protocol";
import type { GatewayFrameSchema, SupervisorFrame } from "@belay/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { execLost, isGone, startFailure } from "./start-truth.ts";

export interface FollowRequest {
  readonly execId: string;
  /** To be started first; absent of an exec that is there. */
  readonly spec?: ExecSpec;
  readonly stdoutOffset: bigint;
  readonly stderrOffset: bigint;
  /** End after what there is now. */
  readonly noWait: boolean;
  /** See FollowFrame. */
  readonly holdsLog: boolean;
}

/** - `unsent`: the supervisor has heard nothing.
 *  - `unanswered`: the first frame was sent; a start always to the same supervisor.
 *  - `known`: the supervisor has told of the exec.
 *  - `ended`: it has told all; without an exit where only what there was is wanted. */
export type AttachmentPhase =
  | { readonly is: "unsent" }
  | { readonly is: "unanswered"; readonly instanceId: string; readonly sends: number }
  | { readonly is: "known"; readonly instanceId: string }
  | { readonly is: "ended"; readonly exit: ExecExit | undefined };

export interface AttachmentState {
  readonly phase: AttachmentPhase;
  /** False between a new conversation and its first answer. */
  readonly answered: boolean;
  /** Of the next byte to pass on. */
  readonly stdoutOffset: bigint;
  readonly stderrOffset: bigint;
  /** Whether output was lost to this follower, which it was told of. */
  readonly dropped: boolean;
  readonly stdin: StdinTaken;
}

/** How much of the input the exec has, and whether it wants no more. */
export interface StdinTaken {
  readonly offset: bigint;
  readonly closed: boolean;
}

export type AttachmentInput =
  /** There is a conversation, with this supervisor. */
  | { readonly is: "conversation"; readonly instanceId: string }
  | { readonly is: "frame"; readonly frame: SupervisorFrame }
  /** The supervisor refused, or there will be no further conversation. */
  | { readonly is: "failure"; readonly error: BelayError };

export type FollowedEvent =
  | { readonly case: "info"; readonly value: ExecInfo }
  | { readonly case: "output"; readonly value: ExecOutput }
  | { readonly case: "dropped"; readonly value: ExecDropped };

export type AttachmentEffect =
  | { readonly do: "nothing" }
  | { readonly do: "send"; readonly frame: MessageInitShape<typeof GatewayFrameSchema> }
  | { readonly do: "pass"; readonly event: FollowedEvent }
  | { readonly do: "fail"; readonly error: BelayError };

export interface AttachmentStep {
  readonly state: AttachmentState;
  readonly effect: AttachmentEffect;
}

export function initialAttachment(request: FollowRequest): AttachmentState {
  return {
    phase: { is: "unsent" },
    answered: false,
    stdoutOffset: request.stdoutOffset,
    stderrOffset: request.stderrOffset,
    dropped: false,
    stdin: { offset: 0n, closed: false },
  };
}

export function attachmentStep(
  request: FollowRequest,
  state: AttachmentState,
  input: AttachmentInput,
): AttachmentStep {
  switch (input.is) {
    case "conversation":
      return greet(request, state, input.instanceId);
    case "frame":
      return takeFrame(state, input.frame);
    case "failure":
      return fail(state, toldTruly(request, state, input.error));
    default:
      return input satisfies never;
  }
}

/**
 * An exec lives in one supervisor. A start is get-or-create, so it may be sent again, but only to that
 * one: another may come after a crash that ended what the first has started.
 */
function greet(request: FollowRequest, state: AttachmentState, instanceId: string): AttachmentStep {
  const { phase } = state;
  const mayHaveStarted = phase.is === "known" || (phase.is === "unanswered" && request.spec);
  if (mayHaveStarted && phase.instanceId !== instanceId) return fail(state, execLost());
  const follow = {
    stdoutOffset: state.stdoutOffset,
    stderrOffset: state.stderrOffset,
    noWait: request.noWait,
    holdsLog: request.holdsLog,
  };
  const isStart = request.spec && phase.is !== "known";
  return {
    state: {
      ...state,
      answered: false,
      phase:
        phase.is === "known"
          ? phase
          : {
              is: "unanswered",
              instanceId,
              sends: phase.is === "unanswered" ? phase.sends + 1 : 1,
            },
    },
    effect: {
      do: "send",
      frame: {
        execId: request.execId,
        payload: isStart
          ? { case: "start", value: { spec: request.spec, follow } }
          : { case: "follow", value: follow },
      },
    },
  };
}

function takeFrame(state: AttachmentState, { payload }: SupervisorFrame): AttachmentStep {
  if (!state.answered && payload.case !== "info") {
    return fail(state, violation(`${payload.case ?? "an unknown frame"} came before info`));
  }
  switch (payload.case) {
    case "info":
      return state.answered ? nothing(state) : takeInfo(state, payload.value);
    case "output":
      return takeOutput(state, payload.value);
    case "dropped":
      return takeDropped(state, payload.value);
    case "stdinAck":
      return nothing({
        ...state,
        stdin: { offset: payload.value.offset, closed: payload.value.closed },
      });
    case "exit":
      return takeExit(state, payload.value);
    case "endOfLog":
      return nothing({ ...state, phase: { is: "ended", exit: undefined } });
    case "list":
    case "failed": // which a conversation throws
      return fail(state, violation(`${payload.case} on a channel that follows`));
    case undefined:
      return nothing(state); // a frame of a newer supervisor
    default:
      return payload satisfies never;
  }
}

function takeInfo(state: AttachmentState, info: ExecInfo): AttachmentStep {
  const { phase } = state;
  const stdin = { offset: info.stdinOffset, closed: info.stdinEnded };
  if (phase.is !== "unanswered") return nothing({ ...state, answered: true, stdin });
  return {
    state: {
      ...state,
      phase: { is: "known", instanceId: phase.instanceId },
      answered: true,
      stdin,
    },
    effect: { do: "pass", event: { case: "info", value: info } },
  };
}

/** Each byte once: what has been passed on is skipped, and nothing may be missing. */
function takeOutput(state: AttachmentState, output: ExecOutput): AttachmentStep {
  const key = offsetKey(output.stream);
  if (!key) return nothing(state); // a stream of a newer supervisor
  const reached = state[key];
  const end = output.offset + BigInt(output.data.byteLength);
  if (output.offset > reached) {
    return fail(state, violation(`output from ${output.offset} on, after ${reached} bytes`));
  }
  if (end <= reached) return nothing(state);
  const fresh =
    output.offset === reached
      ? output
      : { ...output, offset: reached, data: output.data.subarray(Number(reached - output.offset)) };
  return {
    state: { ...state, [key]: end },
    effect: { do: "pass", event: { case: "output", value: fresh } },
  };
}

function takeDropped(state: AttachmentState, dropped: ExecDropped): AttachmentStep {
  const key = offsetKey(dropped.stream);
  if (!key) return nothing(state);
  const reached = state[key];
  if (dropped.fromOffset > reached) {
    return fail(state, violation(`dropped from ${dropped.fromOffset} on, after ${reached} bytes`));
  }
  if (dropped.toOffset <= reached) return nothing(state);
  return {
    state: { ...state, [key]: dropped.toOffset, dropped: true },
    effect: { do: "pass", event: { case: "dropped", value: { ...dropped, fromOffset: reached } } },
  };
}

/** An exit is the last of all: what the streams carried must be here. */
function takeExit(state: AttachmentState, exit: ExecExit): AttachmentStep {
  const ended: AttachmentState = { ...state, phase: { is: "ended", exit } };
  for (const [name, reached, totals] of [
    ["stdout", state.stdoutOffset, exit.stdout],
    ["stderr", state.stderrOffset, exit.stderr],
  ] as const) {
    const bytes = totals?.bytes ?? 0n;
    if (reached !== bytes) {
      return fail(ended, violation(`${name} ends after ${reached} of ${bytes} bytes`));
    }
  }
  return nothing(ended);
}

/** What an error may say of the exec, by how far it has come (rule of truth 5). */
function toldTruly(
  request: FollowRequest,
  { phase }: AttachmentState,
  error: BelayError,
): BelayError {
  switch (phase.is) {
    case "unsent":
      return request.spec ? startFailure(error, 0) : error;
    case "unanswered":
      return request.spec ? startFailure(error, phase.sends) : error;
    case "known":
      if (isGone(error)) return execLost(error);
      return error.outcome === "not_started" ? error.with({ outcome: "unknown" }) : error;
    case "ended":
      return error.with({ outcome: "completed" });
    default:
      return phase satisfies never;
  }
}

function violation(message: string): BelayError {
  return new BelayError("protocol_violation", message, { outcome: "unknown" });
}

function offsetKey(stream: OutputStream): "stdoutOffset" | "stderrOffset" | undefined {
  if (stream === OutputStream.STDOUT) return "stdoutOffset";
  return stream === OutputStream.STDERR ? "stderrOffset" : undefined;
}

function nothing(state: AttachmentState): AttachmentStep {
  return { state, effect: { do: "nothing" } };
}

function fail(state: AttachmentState, error: BelayError): AttachmentStep {
  return { state, effect: { do: "fail", error } };
}
