// relay-stream.ts: the RelayStream RPC: a claimed relay's bytes, both ways.
import { create } from "@bufbuild/protobuf";
import { BelayError, RelayFrameSchema } from "@belay/protocol";
import type { RelayFrame } from "@belay/protocol";
import { waitAtMost, whenAborted } from "@belay/relay-core";
import type { Clock, TaskScope } from "@belay/relay-core";
import type { SandboxClaims } from "../auth/sandbox-tokens.ts";
import type { GatewayLimits } from "../limits.ts";
import type { RelayBroker } from "./relay-broker.ts";
import type { Relay } from "./relay.ts";

export interface RelayStreamDeps {
  readonly relays: RelayBroker;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly scope: TaskScope;
}

/** The last frame of a direction that ended in order, where both sides know it (`relay-end`). */
const END = new Uint8Array();

/** @param signal aborts when the RPC's stream is gone, however it went. */
export async function* relayStream(
  frames: AsyncIterable<RelayFrame>,
  claims: SandboxClaims,
  deps: RelayStreamDeps,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<RelayFrame> {
  const received = frames[Symbol.asyncIterator]();
  const relay = deps.relays.claim(await firstChannelId(received, deps, signal), claims.sandboxId);

  // The stream's end is heard here, not in a `finally`: a generator whose stream died stays parked.
  const onStreamGone = () => relay.fail(dropped(relay, "relay stream lost"));
  if (signal.aborted) onStreamGone();
  else signal.addEventListener("abort", onStreamGone, { once: true });
  deps.scope.run(() => receiveFrames(received, relay));

  for (;;) {
    const data = await relay.pipe.nextFrame();
    if (data === undefined) break;
    yield dataFrame(data);
  }
  if (relay.pipe.endTaken && relay.state.is === "open") {
    if (!relay.marksEnds) {
      // The end of the response is the half-close. RPCs that have answered hear no signal but their
      // own completion; from here on, only reading tells that the stream is gone.
      signal.removeEventListener("abort", onStreamGone);
      relay.ended.addEventListener("abort", () => relay.pipe.destroy(), { once: true });
      return;
    }
    yield dataFrame(END);
    await whenAborted(relay.ended);
  }
  if (relay.pipe.errored instanceof BelayError) throw relay.pipe.errored;
}

async function firstChannelId(
  received: AsyncIterator<RelayFrame>,
  { limits, clock }: RelayStreamDeps,
  signal: AbortSignal,
): Promise<string> {
  const wait = {
    what: "first RelayFrame",
    limitMs: limits.firstMessageMs,
    kind: "protocol_violation",
  } as const;
  const first = await waitAtMost(wait, clock, () => received.next(), { signal });
  if (first.done) throw new BelayError("protocol_violation", "empty RelayStream");
  const { payload } = first.value;
  if (payload.case !== "init" || payload.value.channelId === "") {
    throw new BelayError(
      "protocol_violation",
      "first RelayFrame must be init with non-empty channel_id",
    );
  }
  return payload.value.channelId;
}

async function receiveFrames(received: AsyncIterator<RelayFrame>, relay: Relay): Promise<void> {
  let ended = false;
  try {
    for (let next = await received.next(); !next.done; next = await received.next()) {
      const { payload } = next.value;
      if (payload.case !== "data") throw new BelayError("protocol_violation", "expected data");
      if (payload.value.byteLength === 0) ended ||= relay.marksEnds;
      else await relay.pipe.receive(payload.value);
      if (ended) relay.pipe.receiveEnd();
    }
    // The stream of a supervisor that gave up ends like that of one that is done (library hazard).
    if (!ended && relay.marksEnds) throw new Error("the relay's stream ended without an end mark");
    relay.pipe.receiveEnd();
  } catch (error) {
    relay.fail(dropped(relay, error));
  }
}

function dataFrame(value: Uint8Array): RelayFrame {
  return create(RelayFrameSchema, { payload: { case: "data", value } });
}

function dropped(relay: Relay, cause: unknown): BelayError {
  return new BelayError("relay_dropped", "relay channel dropped", { ids: relay.ids, cause });
}
