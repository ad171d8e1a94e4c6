// ask-supervisor.ts: one question to a sandbox's supervisor about an exec, and its answer.
import { BelayError } from "@belay/protocol";
import type { ErrorKind, GatewayFrameSchema, SupervisorFrame } from "@belay/protocol";
import { waitAtMost } from "@belay/relay-core";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { overConversations } from "./over-conversations.ts";
import type { ConversationDeps } from "./over-conversations.ts";
import { execLost, startFailure } from "./start-truth.ts";

type Payload = NonNullable<MessageInitShape<typeof GatewayFrameSchema>["payload"]>;

export interface Question {
  readonly sandboxId: string;
  /** Empty where all execs are meant. */
  readonly execId: string;
  /** Asked for before each time it is sent. */
  readonly frame: () => Payload;
  /**
   * What sending it a second time does, after a lost way: `nothing` more than sending it once, in
   * whichever supervisor is there; the same, but only in the supervisor that got it first; or `more`,
   * and then it is not sent again.
   */
  readonly again: "nothing" | "nothing_here" | "more";
  /** The supervisor that may have got it before this question. */
  readonly sentTo?: string | undefined;
  /** Milliseconds that the supervisor may take for it, besides `limits.execAnswerMs`. */
  readonly takesMs?: () => number;
  /** What it is when that is not enough. Default: the way is lost. */
  readonly lateKind?: ErrorKind;
}

/**
 * @throws BelayError, with the outcome of what was asked for: what the supervisor answers with; see
 * overConversations; `relay_lost` where nobody knows whether it was done; the signal's reason.
 */
export async function askSupervisor(
  question: Question,
  deps: ConversationDeps,
  { signal }: { signal: AbortSignal },
): Promise<SupervisorFrame> {
  const { sandboxId, execId, again, takesMs = () => 0, lateKind = "relay_lost" } = question;
  const ids = { sandboxId, ...(execId && { execId }) };
  let { sentTo } = question;
  let sends = sentTo === undefined ? 0 : 1;
  const mayGoOn = () => again !== "more" || sends === 0;
  try {
    return await overConversations(
      async ({ conversation, answerWithinMs, answered }) => {
        if (
          again === "nothing_here" &&
          sentTo !== undefined &&
          sentTo !== conversation.instanceId
        ) {
          throw execLost();
        }
        const payload = question.frame();
        const limitMs = answerWithinMs + takesMs();
        const wait = { what: `answer to ${payload.case}`, limitMs, kind: lateKind, ids };
        const answer = await waitAtMost(
          wait,
          deps.clock,
          async (waiting) => {
            sends += 1;
            sentTo = conversation.instanceId;
            await conversation.send({ execId, payload }, { signal: waiting });
            return conversation.next({ signal: waiting });
          },
          { signal },
        );
        answered();
        return answer;
      },
      deps,
      { ids, signal, mayGoOn },
    );
  } catch (error) {
    if (!(error instanceof BelayError)) throw error;
    const isStart = again === "nothing_here";
    throw (isStart || sends === 0 ? startFailure(error, sends) : error).with({ ids });
  }
}
