// follow-exec.ts: an exec's output and exit over as many calls as it takes, each byte once.
import { BelayError, OutputStream } from "@belay/protocol";
import type { FollowExecEvent } from "@belay/protocol";
import { Attempts } from "./attempts.ts";
import type { ClientContext } from "./context.ts";
import { exitView } from "./exec-views.ts";
import type { ExecExit, OutputStreamName } from "./exec-views.ts";
import { FollowCall } from "./follow-call.ts";
import type { FollowFailure } from "./follow-call.ts";
import { OutputLedger } from "./output-ledger.ts";

export interface OutputEvent {
  readonly is: "output";
  readonly stream: OutputStreamName;
  /** Of data's first byte in the whole of the stream. */
  readonly offset: number;
  readonly data: Uint8Array;
}

/** [fromOffset, toOffset) of the stream is no longer kept by the supervisor. */
export interface DroppedEvent {
  readonly is: "dropped";
  readonly stream: OutputStreamName;
  readonly fromOffset: number;
  readonly toOffset: number;
}

export interface ExitEvent {
  readonly is: "exit";
  readonly exit: ExecExit;
  /**
   * True: all of both outputs was received, counted, and is what the supervisor hashed as the process
   * wrote it. False: not all of it was received, so that nothing can be compared but the ends.
   */
  readonly verified: boolean;
}

/** The last event of a follow that does not wait, of an exec that still runs. */
export interface EndOfLogEvent {
  readonly is: "end_of_log";
}

export type ExecEvent = OutputEvent | DroppedEvent | ExitEvent;
export type FollowEvent = ExecEvent | EndOfLogEvent;

export interface FollowTarget {
  readonly sandboxId: string;
  readonly execId: string;
  readonly stdoutOffset: number;
  readonly stderrOffset: number;
  readonly noWait: boolean;
  /** For how long a lost way is tried, at the moment of asking. */
  readonly windowMs: () => number;
  readonly onAnswer: () => void;
}

/**
 * Ends after `exit`, or after `end_of_log` with `noWait`, else with an error, never in between. An
 * abort of the signal detaches; the exec goes on.
 * @throws BelayError, ClientError `output_mismatch`, or the signal's reason.
 */
export async function* followExec(
  target: FollowTarget,
  context: ClientContext,
  signal: AbortSignal,
): AsyncGenerator<FollowEvent, void, void> {
  const { sandboxId, execId, windowMs } = target;
  const ids = { sandboxId, execId };
  const ledger = new OutputLedger(target, context.sha256, ids);
  const what = `exec ${execId}`;
  const attempts = new Attempts({ context, what, windowMs, isStarted: true, ids });
  for (;;) {
    signal.throwIfAborted();
    const failure = yield* followOnce(target, ledger, attempts, context, signal);
    if (!failure) return;
    signal.throwIfAborted();
    await attempts.failed(failure.reason, { isPathFailure: failure.isPathFailure, signal });
  }
}

/** One call, from the offsets reached. Returns how it failed, or nothing when all was said. */
async function* followOnce(
  { sandboxId, execId, noWait, onAnswer }: FollowTarget,
  ledger: OutputLedger,
  attempts: Attempts,
  context: ClientContext,
  signal: AbortSignal,
): AsyncGenerator<FollowEvent, FollowFailure | undefined, void> {
  const request = {
    sandboxId,
    execId,
    noWait,
    stdoutOffset: BigInt(ledger.stdout.offset),
    stderrOffset: BigInt(ledger.stderr.offset),
  };
  using call = new FollowCall(request, context, signal);
  for (;;) {
    const next = await call.next();
    if (next.is === "failed") return next;
    attempts.answered();
    onAnswer();
    const event = enter(next.payload, ledger);
    if (!event) continue;
    attempts.progressed();
    yield event;
    if (event.is === "exit" || event.is === "end_of_log") return undefined;
  }
}

/** What a message says that was not known yet. @throws ClientError `output_mismatch`. */
function enter(payload: FollowExecEvent["payload"], ledger: OutputLedger): FollowEvent | undefined {
  switch (payload.case) {
    case "output": {
      const stream = streamName(payload.value.stream);
      const data = ledger[stream].take(Number(payload.value.offset), payload.value.data);
      if (data.byteLength === 0) return undefined;
      return { is: "output", stream, offset: ledger[stream].offset - data.byteLength, data };
    }
    case "dropped": {
      const stream = streamName(payload.value.stream);
      const { fromOffset, toOffset } = payload.value;
      const gap = ledger[stream].drop(Number(fromOffset), Number(toOffset));
      return gap && { is: "dropped", stream, fromOffset: gap.from, toOffset: gap.to };
    }
    case "exit": {
      const exit = exitView(payload.value);
      return { is: "exit", exit, verified: ledger.verify(exit) };
    }
    case "endOfLog":
      return { is: "end_of_log" };
    case "info":
    case "keepalive":
    case undefined: // an event of a newer gateway
      return undefined;
  }
}

function streamName(stream: OutputStream): OutputStreamName {
  if (stream === OutputStream.STDOUT) return "stdout";
  if (stream === OutputStream.STDERR) return "stderr";
  throw new BelayError("protocol_violation", `output of an unknown stream, ${stream}`, {
    outcome: "unknown",
  });
}
