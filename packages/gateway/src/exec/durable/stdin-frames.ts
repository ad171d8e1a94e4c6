// send-stdin.ts: input on its way to an exec, from where it was taken up to.
import { BelayError } from "@belay/protocol";
import { FRAME_OUTPUT_BYTES } from "@belay/relay-core";
import type { ExecConversation } from "../../ssh/exec-conversation.ts";
import type { StdinTaken } from "./attachment.ts";

/** A piece of an exec's input, which may be all of it. */
export interface StdinPiece {
  /** Of data's first byte. */
  readonly offset: bigint;
  readonly data: Uint8Array;
  /** The input ends after data. */
  readonly end: boolean;
}

/**
 * Sends what has not been taken, as fast as the supervisor takes it. What is sent twice is taken once.
 * @param taken asked before each frame: what is closed wants no more.
 * @throws BelayError `relay_lost`; the signal's reason.
 */
export async function sendStdin(
  { offset, data, end }: StdinPiece,
  conversation: ExecConversation,
  taken: () => StdinTaken,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const already = Number(taken().offset - offset);
  let from = Math.min(Math.max(already, 0), data.byteLength);
  while (!taken().closed) {
    const to = Math.min(from + FRAME_OUTPUT_BYTES, data.byteLength);
    const isLast = to === data.byteLength;
    const value = {
      offset: offset + BigInt(from),
      data: data.subarray(from, to),
      end: end && isLast,
    };
    await conversation.send({ payload: { case: "stdin", value } }, { signal });
    if (isLast) return;
    from = to;
  }
}

/** Whether a sender's failure is one that whoever reads from the conversation hears of by itself. */
export function isLostWay(error: unknown): boolean {
  return error instanceof BelayError && error.kind === "relay_lost";
}
