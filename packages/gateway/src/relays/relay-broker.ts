// relay-broker.ts: pairs each RelayOpen we send with the RelayStream the supervisor opens in answer.
import { randomUUID } from "node:crypto";
import { BelayError } from "@belay/protocol";
import { untilAbort, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import { Relay } from "./relay.ts";
import type { RelayTarget } from "./relay.ts";

export interface OpenRelayOptions {
  readonly signal: AbortSignal;
  /** Default: the SSH server. */
  readonly target?: RelayTarget;
  /** What the relay is for, as the supervisor is told. Default: none, for the gateway's own execs. */
  readonly serviceId?: string;
}

export class RelayBroker {
  readonly #limits: GatewayLimits;
  readonly #clock: Clock;
  readonly #relays = new Map<string, Relay>();
  readonly #sessionFanout: boolean;

  /** @param options.sessionFanout false only in fault tests: relays then do not hear of their
   * session's end. */
  constructor(limits: GatewayLimits, clock: Clock, options: { sessionFanout: boolean }) {
    this.#limits = limits;
    this.#clock = clock;
    this.#sessionFanout = options.sessionFanout;
  }

  /** Relays that are pending or open. */
  get size(): number {
    return this.#relays.size;
  }

  /**
   * Asks the session's supervisor for a relay to the target.
   * @throws BelayError `relay_open_timeout`, `relay_refused`, `limit_exceeded`, or `relay_dropped`
   * as soon as the session ends.
   */
  async open(
    session: SupervisorSession,
    { signal, target = { case: "ssh", value: {} }, serviceId = "" }: OpenRelayOptions,
  ): Promise<Relay> {
    signal.throwIfAborted();
    this.#checkPending(session.sandboxId);
    const channelId = randomUUID();
    const claimed = Promise.withResolvers<Relay>();
    const relay = new Relay({
      channelId,
      sandboxId: session.sandboxId,
      sessionId: session.id,
      target: target.case,
      marksEnds: session.offers("relay-end"),
      deliver: claimed.resolve,
      onEnd: () => {
        this.#relays.delete(channelId);
        session.ended.removeEventListener("abort", onSessionEnd);
      },
    });
    const onSessionEnd = () => relay.fail(dropped(relay, session.ended.reason));
    this.#relays.set(channelId, relay);
    if (session.ended.aborted) onSessionEnd();
    if (this.#sessionFanout) session.ended.addEventListener("abort", onSessionEnd);

    const wait = {
      what: "relay open",
      limitMs: this.#limits.relayWaitMs,
      kind: "relay_open_timeout",
      message: "relay open timed out",
      ids: relay.ids,
    } as const;
    session.send({ case: "relayOpen", value: { channelId, target, serviceId } });
    try {
      return await waitAtMost(wait, this.#clock, () => untilAbort(claimed.promise, relay.ended), {
        signal,
      });
    } catch (error) {
      session.send({ case: "relayClose", value: { channelId, reason: "no longer wanted" } });
      relay.fail(dropped(relay, error));
      throw error;
    }
  }

  #checkPending(sandboxId: string): void {
    let all = 0;
    let ofSandbox = 0;
    for (const relay of this.#relays.values()) {
      if (relay.state.is !== "pending") continue;
      all += 1;
      if (relay.sandboxId === sandboxId) ofSandbox += 1;
    }
    const { pendingRelays, pendingRelaysPerSandbox } = this.#limits;
    if (all < pendingRelays && ofSandbox < pendingRelaysPerSandbox) return;
    throw new BelayError(
      "limit_exceeded",
      `too many relays wait for their supervisor (at most ${pendingRelaysPerSandbox} per sandbox, ` +
        `${pendingRelays} in all)`,
      { ids: { sandboxId } },
    );
  }

  /**
   * For the RelayStream that names this channel. Whether the channel is unknown, claimed already or
   * another sandbox's is not told apart: the caller learns nothing about relays that are not its own.
   * @throws BelayError `relay_not_found`.
   */
  claim(channelId: string, sandboxId: string): Relay {
    const relay = this.#relays.get(channelId);
    if (!relay || relay.sandboxId !== sandboxId || !relay.claim()) {
      throw new BelayError("relay_not_found", "unknown or expired relay channel", {
        ids: { sandboxId },
      });
    }
    return relay;
  }

  /** The supervisor could not open the target. */
  refused(channelId: string, why: string, session: SupervisorSession): void {
    const relay = this.#ownedBy(session, channelId);
    relay?.fail(
      new BelayError("relay_refused", why || "the supervisor could not open the relay", {
        ids: relay.ids,
      }),
    );
  }

  /** The supervisor takes the relay back: it stops, or a TCP target broke. What ran over the relay ends
   * without a status. */
  closedBySupervisor(channelId: string, why: string, session: SupervisorSession): void {
    const relay = this.#ownedBy(session, channelId);
    const kind = relay?.target === "tcp" ? "relay_lost" : "supervisor_stopping";
    relay?.fail(
      new BelayError(kind, why || "the supervisor closed the relay", {
        ids: relay.ids,
      }),
    );
  }

  #ownedBy(session: SupervisorSession, channelId: string): Relay | undefined {
    const relay = this.#relays.get(channelId);
    return relay?.sessionId === session.id ? relay : undefined;
  }
}

function dropped(relay: Relay, cause: unknown): BelayError {
  return new BelayError("relay_dropped", "relay channel dropped", { ids: relay.ids, cause });
}
