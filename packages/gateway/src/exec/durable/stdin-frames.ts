// stdin-frames.ts: input on its way to a durable exec: frames, and no more of them than the supervisor
// queues, so that a resize behind them is never held up.
import { BelayError } from "@belay/protocol";
import type { GatewayLimits } from "../../limits.ts";
import type { ExecConversation } from "../../ssh/exec-conversation.ts";
import type { ExecInput } from "../exec-input.ts";
import type { InputSink } from "../send-input.ts";

export function stdinFrames(
  input: ExecInput,
  conversation: ExecConversation,
  limits: Pick<GatewayLimits, "stdinFrames">,
  { signal }: { signal: AbortSignal },
): InputSink {
  /** Where the frames end that the supervisor has not answered. */
  const unanswered: number[] = [];
  return {
    hasRoom() {
      while (unanswered.length > 0 && unanswered[0]! <= input.takenOffset) unanswered.shift();
      return unanswered.length < limits.stdinFrames;
    },
    write({ offset, data, end }) {
      unanswered.push(offset + data.byteLength);
      const value = { offset: BigInt(offset), data, end };
      return conversation.send({ payload: { case: "stdin", value } }, { signal });
    },
    resize: ({ cols, rows }) =>
      conversation.send({ payload: { case: "resize", value: { cols, rows } } }, { signal }),
  };
}

/** Whether a sender's failure is one that whoever reads from the conversation hears of by itself. */
export function isLostWay(error: unknown): boolean {
  return error instanceof BelayError && error.kind === "relay_lost";
}
