// carry-relay.ts: the bytes of one relay, between its pipe and the RelayStream RPC that carries it.
import { create } from "@bufbuild/protobuf";
import { BelayError, RelayFrameSchema, fromConnectError } from "@belay/protocol";
import type { RelayFrame } from "@belay/protocol";
import type { RelayPipe } from "@belay/relay-core";
import type { GatewayClient } from "../link/gateway-client.ts";

/** The last frame of a direction that ended in order (the feature `relay-end`). */
const END = new Uint8Array();

/**
 * Resolves when the relay is over and its pipe destroyed: with an error where it broke, without one
 * where the gateway ended it in order, after which the reader has seen the end.
 * @param signal aborts when the session has ended, and takes the relay with it.
 */
export async function carryRelay(
  channelId: string,
  pipe: RelayPipe,
  client: GatewayClient,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const abort = new AbortController();
  const closed = new Promise<void>((resolve) => pipe.once("close", resolve));
  // Leaving the response loop does not end the call, and its code could not tell why it ended. A pipe
  // that has ended both ways needs the call still: the gateway may not have read it to its end.
  void closed.then(() => endedBothWays(pipe) || abort.abort());
  const onSessionEnd = () => {
    pipe.destroy(lost(channelId, signal.reason));
    abort.abort();
  };
  if (signal.aborted) onSessionEnd();
  signal.addEventListener("abort", onSessionEnd, { once: true });
  try {
    const frames = client.relayStream(framesOf(channelId, pipe), { signal: abort.signal });
    for await (const { payload } of frames) {
      if (payload.case !== "data") continue;
      if (payload.value.byteLength === 0) pipe.receiveEnd();
      else await pipe.receive(payload.value);
    }
    endInOrder(pipe);
  } catch (error) {
    pipe.destroy(lost(channelId, error)); // no effect when the pipe's end is what ended the call
  } finally {
    await closed;
    signal.removeEventListener("abort", onSessionEnd);
  }
}

/** The gateway wants no more of the relay: its reader sees an end, and what it writes is dropped. */
export function endInOrder(pipe: RelayPipe): void {
  if (pipe.readableEnded) return void pipe.destroy();
  pipe.once("end", () => pipe.destroy());
  pipe.receiveEnd();
}

function endedBothWays(pipe: RelayPipe): boolean {
  return !pipe.errored && pipe.endTaken && pipe.readableEnded;
}

/** Ends when the pipe does: a generator that stays parked would never be told that its call died. */
async function* framesOf(channelId: string, pipe: RelayPipe): AsyncGenerator<RelayFrame> {
  yield create(RelayFrameSchema, { payload: { case: "init", value: { channelId } } });
  for (;;) {
    const data = await pipe.nextFrame();
    if (data === undefined) break;
    yield create(RelayFrameSchema, { payload: { case: "data", value: data } });
  }
  if (pipe.endTaken) yield create(RelayFrameSchema, { payload: { case: "data", value: END } });
}

function lost(channelId: string, reason: unknown): BelayError {
  const cause = reason instanceof Error ? fromConnectError(reason) : reason;
  return new BelayError("relay_lost", "the relay broke", { ids: { channelId }, cause });
}
