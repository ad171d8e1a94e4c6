// run-forward.ts: one forward from its session to its end. It runs in the gateway's scope, not in the
// RPC: a client that vanishes takes only the reader of `outgoing` along.
import { create } from "@bufbuild/protobuf";
import { BelayError, SSH_CLIENT_SERVICE, TcpForwardFrameSchema } from "@belay/protocol";
import type { ErrorIds, TcpForwardFrame } from "@belay/protocol";
import { untilAbort, waitAtMost } from "@belay/relay-core";
import type { Clock, Handoff } from "@belay/relay-core";
import type { Log } from "@belay/program";
import type { GatewayLimits } from "../limits.ts";
import type { RelayBroker } from "../relays/relay-broker.ts";
import type { Relay, RelayTarget } from "../relays/relay.ts";
import { callerMessages, callersFailure } from "../rpc/caller-messages.ts";
import type { SessionRegistry } from "../supervisors/session-registry.ts";
import type { ForwardEnd } from "./forward-end.ts";
import type { OpenTurns } from "./open-turns.ts";

export interface RunForwardDeps {
  readonly sessions: SessionRegistry;
  readonly relays: RelayBroker;
  readonly openTurns: OpenTurns;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Forward {
  readonly sandboxId: string;
  readonly target: RelayTarget;
}

/**
 * Gives the target's bytes, then ends or fails `outgoing`; never throws.
 *
 * The target's end ends the caller's response, for that is how its clients notice (a server that
 * closes first); what the caller still sends goes on to the target until its own end. The caller's
 * end is a half-close. All else breaks the forward, and a break is an error, never an end.
 */
export async function runForward(
  { sandboxId, target }: Forward,
  received: AsyncIterator<TcpForwardFrame>,
  outgoing: Handoff<TcpForwardFrame>,
  deps: RunForwardDeps,
  end: ForwardEnd,
): Promise<void> {
  const { limits, clock } = deps;
  const startedAtMs = clock.now();
  const bytes = { toTarget: 0, fromTarget: 0 };
  const tookMs = () => Math.round(clock.now() - startedAtMs);
  let ids: ErrorIds = { sandboxId };
  const log = deps.log.child({ sandboxId, target: target.case });
  let opened = false;
  try {
    using relay = await openRelay({ sandboxId, target }, deps, end.signal);
    opened = true;
    ids = relay.ids;
    using _broken = end.onAbort((reason) => relay.fail(reason));
    log.info("forward.opened", { ...ids });

    const sending = sendToTarget(received, relay, bytes, deps);
    for await (const chunk of relay.pipe.iterator({ destroyOnReturn: false })) {
      for (const data of pieces(chunk as Buffer, limits.forwardFrameBytes)) {
        await outgoing.put(dataFrame(data), { signal: relay.ended });
        bytes.fromTarget += data.byteLength;
      }
    }
    end.ignoreCaller();
    outgoing.end();
    const wait = {
      what: "the caller's end of a forward",
      limitMs: limits.requestLingerMs,
      kind: "deadline_exceeded",
    } as const;
    await waitAtMost(wait, clock, () => sending, { signal: end.signal }).catch(() => {});
    log.info("forward.ended", { ...ids, tookMs: tookMs(), ...bytes });
  } catch (error) {
    const failure = asFailure(error, { opened, ids });
    outgoing.fail(failure);
    const { kind, message: reason } = failure;
    log.info("forward.failed", { ...ids, tookMs: tookMs(), ...bytes, kind, reason, err: error });
  }
}

async function openRelay(
  { sandboxId, target }: Forward,
  { sessions, relays, openTurns }: RunForwardDeps,
  signal: AbortSignal,
): Promise<Relay> {
  const session = await sessions.waitFor(sandboxId, { signal });
  using _turn = await openTurns.take(sandboxId, { signal });
  const serviceId = target.case === "ssh" ? SSH_CLIENT_SERVICE : "";
  return await relays.open(session, { signal, target, serviceId });
}

/** Resolves after the caller's end, or when the relay is over; never throws. */
async function sendToTarget(
  received: AsyncIterator<TcpForwardFrame>,
  relay: Relay,
  bytes: { toTarget: number },
  deps: Pick<RunForwardDeps, "limits" | "clock">,
): Promise<void> {
  try {
    for await (const { payload } of callerMessages(received, deps, { signal: relay.ended })) {
      if (payload.case !== "data") throw new BelayError("protocol_violation", "expected data");
      // The callback comes when there is room for more, but never once the pipe is destroyed.
      const taken = new Promise<void>((resolve) =>
        relay.pipe.write(payload.value, () => resolve()),
      );
      await untilAbort(taken, relay.ended);
      bytes.toTarget += payload.value.byteLength;
    }
    relay.pipe.end();
  } catch (error) {
    relay.fail(callersFailure(error));
  }
}

/** A foreign supervisor's frames may be larger than what we promise. */
function* pieces(chunk: Buffer, maxBytes: number): Generator<Buffer> {
  for (let at = 0; at < chunk.byteLength; at += maxBytes) yield chunk.subarray(at, at + maxBytes);
}

function dataFrame(value: Uint8Array): TcpForwardFrame {
  return create(TcpForwardFrameSchema, { payload: { case: "data", value } });
}

/** Of a forward that was open, nobody knows what its target has done with the bytes. */
function asFailure(
  error: unknown,
  { opened, ids }: { opened: boolean; ids: ErrorIds },
): BelayError {
  const known =
    error instanceof BelayError
      ? error
      : new BelayError("internal", "internal error", { cause: error });
  const outcome = opened ? "unknown" : "not_started";
  return known.with({ outcome, ids });
}
