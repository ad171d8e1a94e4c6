// follow-durably.ts: follows an exec to its end, whatever becomes of the way to it: after a loss it goes
// on over the next way, at the offsets reached. All that it knows of the exec it could lose.
import { BelayError } from "@belay/protocol";
import type { ExecExit } from "@belay/protocol";
import { TaskScope, waitAtMost } from "@belay/relay-core";
import type { Log } from "@belay/program";
import type { Metrics } from "../../ops/metrics.ts";
import type { ExecInput } from "../exec-input.ts";
import { sendInput } from "../send-input.ts";
import { attachmentStep, initialAttachment } from "./attachment.ts";
import type { AttachmentInput, FollowedEvent, FollowRequest } from "./attachment.ts";
import { overConversations } from "./over-conversations.ts";
import type { Attempt, ConversationDeps } from "./over-conversations.ts";
import { isLostWay, stdinFrames } from "./stdin-frames.ts";

export interface FollowDeps extends ConversationDeps {
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface FollowOptions extends FollowRequest {
  readonly sandboxId: string;
  /** The exec's input and the size of its terminal; absent where others see to them. */
  readonly input?: ExecInput;
  /** Takes each event, in order: info once and first, then output and dropped. While it is not settled
   * nothing more is read: a slow client slows the process. */
  readonly onEvent: (event: FollowedEvent) => Promise<void>;
}

export interface FollowEnd {
  /** Undefined at the end of the log, where only that is wanted. */
  readonly exit: ExecExit | undefined;
  /** Whether output was missed, of which `onEvent` was told. */
  readonly dropped: boolean;
}

/**
 * While it follows, silence is no death: only an unanswered keepalive ends a way.
 *
 * @throws BelayError, with what is known of the exec: `exec_lost` when its supervisor is there no more,
 * `resume_window_ended`, `internal` when the supervisor breaks the protocol, what it answers with, what
 * keeps one from reaching it at first; the signal's reason, which must be one.
 */
export async function followDurably(
  options: FollowOptions,
  deps: FollowDeps,
  { signal }: { signal: AbortSignal },
): Promise<FollowEnd> {
  const { sandboxId, execId } = options;
  const ids = { sandboxId, execId };
  const log = deps.log.child(ids);
  let state = initialAttachment(options);

  try {
    await overConversations(attend, deps, {
      ids,
      signal,
      onLost: (error) => log.info("exec.detached", { err: error }),
      onResumed(tookMs) {
        deps.metrics.execResumed(tookMs);
        log.info("exec.resumed", { tookMs: Math.round(tookMs) });
      },
    });
  } catch (error) {
    const { effect } = attachmentStep(options, state, {
      is: "failure",
      error: asBelayError(error),
    });
    if (effect.do === "fail") throw effect.error.with({ ids });
    throw error;
  }
  return {
    exit: state.phase.is === "ended" ? state.phase.exit : undefined,
    dropped: state.dropped,
  };

  /** Does what the transition asks for. */
  async function take(input: AttachmentInput, attempt: Attempt, abort: AbortSignal) {
    const { state: next, effect } = attachmentStep(options, state, input);
    if (next.stdin !== state.stdin) {
      options.input?.taken(Number(next.stdin.offset));
      if (next.stdin.closed) options.input?.close();
    }
    state = next;
    switch (effect.do) {
      case "nothing":
        return;
      case "send":
        return attempt.conversation.send(effect.frame, { signal: abort });
      case "pass":
        if (effect.event.case !== "info") attempt.progressed();
        return options.onEvent(effect.event);
      case "fail":
        throw effect.error;
      default:
        return effect satisfies never;
    }
  }

  /** One conversation, from its first frame to the exec's end. */
  async function attend(attempt: Attempt): Promise<void> {
    const { conversation } = attempt;
    const wait = {
      what: "the supervisor's word of the exec",
      limitMs: attempt.answerWithinMs,
      kind: "relay_lost",
      ids: conversation.ids,
    } as const;
    const info = await waitAtMost(
      wait,
      deps.clock,
      async (waiting) => {
        const { instanceId } = conversation;
        await take({ is: "conversation", instanceId }, attempt, waiting);
        return conversation.next({ signal: waiting });
      },
      { signal },
    );
    if (info.payload.case === "info") attempt.answered();
    await take({ is: "frame", frame: info }, attempt, signal);

    await using tasks = new TaskScope("input of an exec", {
      signal,
      // Of a lost way the reader hears by itself, behind what has arrived before.
      onFailure: (error) => isLostWay(error) || tasks.abort(error),
    });
    const { input } = options;
    if (input) {
      tasks.run((abort) => {
        const sink = stdinFrames(input, conversation, deps.limits, { signal: abort });
        const fromOffset = Number(state.stdin.offset);
        return sendInput(input, sink, { fromOffset, clock: deps.clock, signal: abort });
      });
    }
    while (state.phase.is !== "ended") {
      const frame = await conversation.next({ signal: tasks.signal });
      await take({ is: "frame", frame }, attempt, tasks.signal);
    }
  }
}

function asBelayError(error: unknown): BelayError {
  if (error instanceof BelayError) return error;
  return new BelayError("internal", "internal error", { cause: error });
}
