// write-stdin.ts: the WriteStdin RPC: input at an offset, for a process that may not be reading.
import { create } from "@bufbuild/protobuf";
import { BelayError, WriteStdinResponseSchema } from "@belay/protocol";
import type { WriteStdinRequest, WriteStdinResponse } from "@belay/protocol";
import { linkedAbort, TaskScope, waitAtMost } from "@belay/relay-core";
import { ExecInput } from "../exec-input.ts";
import { sendInput } from "../send-input.ts";
import { validateExecId } from "../validate-exec.ts";
import type { StdinTaken } from "./attachment.ts";
import { wrongAnswer } from "./cancel-exec.ts";
import { overConversations } from "./over-conversations.ts";
import type { Attempt, ConversationDeps } from "./over-conversations.ts";
import { isLostWay, stdinFrames } from "./stdin-frames.ts";

/**
 * What was taken before is not taken again, so a lost way is tried again.
 * @throws BelayError `exec_not_found`, `offset_out_of_range`; see overConversations.
 */
export async function writeStdin(
  request: WriteStdinRequest,
  deps: ConversationDeps,
  { signal }: { signal: AbortSignal },
): Promise<WriteStdinResponse> {
  const { sandboxId, execId } = request;
  validateExecId(execId);
  const { offset, closed } = await overConversations(
    (attempt) => write(request, attempt, deps, { signal }),
    deps,
    { ids: { sandboxId, execId }, signal },
  );
  return create(WriteStdinResponseSchema, { offset, closed });
}

async function write(
  { execId, offset, data, end }: WriteStdinRequest,
  { conversation, answerWithinMs, answered }: Attempt,
  { limits, clock }: ConversationDeps,
  { signal }: { signal: AbortSignal },
): Promise<StdinTaken> {
  // The supervisor answers input only when it is taken: whether it knows the exec, it must be asked.
  const wait = { what: "answer to get", limitMs: answerWithinMs, kind: "relay_lost" } as const;
  const { payload: answer } = await waitAtMost(
    wait,
    clock,
    async (waiting) => {
      const frame = { execId, payload: { case: "get", value: {} } } as const;
      await conversation.send(frame, { signal: waiting });
      return conversation.next({ signal: waiting });
    },
    { signal },
  );
  if (answer.case !== "info") throw wrongAnswer("get", answer.case);
  answered();
  let taken: StdinTaken = { offset: answer.value.stdinOffset, closed: answer.value.stdinEnded };
  const target = offset + BigInt(data.byteLength);
  if (taken.closed || (!end && taken.offset >= target)) return taken;
  if (taken.offset < offset) {
    const message = `input has been taken up to ${taken.offset}; it goes on there`;
    throw new BelayError("offset_out_of_range", message);
  }

  const input = ExecInput.whole(data, { offset: Number(offset), end });
  const fromOffset = Number(taken.offset);
  using late = linkedAbort(signal);
  const timer = clock.setTimer(limits.stdinWaitMs, () => {
    void clock.pollIo().then(() => late.abort(new Error("the process does not read")));
  });
  try {
    await using tasks = new TaskScope("input of a call", {
      signal: late.signal,
      // Of a lost way the reader hears by itself, behind what has arrived before.
      onFailure: (error) => isLostWay(error) || tasks.abort(error),
    });
    tasks.run((abort) => {
      const sink = stdinFrames(input, conversation, limits, { signal: abort });
      return sendInput(input, sink, { fromOffset, clock, signal: abort });
    });
    // The acknowledgement of the last frame, which brings the end, reaches the target.
    do {
      const { payload: ack } = await conversation.next({ signal: tasks.signal });
      if (ack.case !== "stdinAck") continue;
      taken = { offset: ack.value.offset, closed: ack.value.closed };
      input.taken(Number(taken.offset));
    } while (!taken.closed && taken.offset < target);
    return taken;
  } catch (error) {
    if (signal.aborted || error !== late.signal.reason) throw error;
    return taken;
  } finally {
    timer.cancel();
  }
}
