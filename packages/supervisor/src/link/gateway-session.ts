// gateway-session.ts: one association with the gateway: the ConnectSupervisor call, from hello to its end.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, SupervisorMessageSchema, fromConnectError } from "@belay/protocol";
import type {
  ErrorKind,
  GatewayMessage,
  SupervisorFeature,
  SupervisorMessage,
} from "@belay/protocol";
import {
  Handoff,
  TaskScope,
  exchangeHeartbeats,
  linkedAbort,
  sleep,
  untilAbort,
  waitAtMost,
} from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { SupervisorLimits } from "../limits.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** What we say of ourselves. */
export interface Hello {
  readonly sandboxId: string;
  /** New for each start of the program. */
  readonly instanceId: string;
  /** Whole milliseconds since that start. */
  readonly uptimeMs: number;
  readonly features: readonly SupervisorFeature[];
  readonly version: string;
}

/** The relays of a session, as the session sees them. */
export interface SessionRelays {
  handle(message: Extract<Payload, { case: "relayOpen" } | { case: "relayClose" }>): void;
}

export interface SessionOptions {
  readonly client: GatewayClient;
  readonly hello: Hello;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  /** Aborts when the connection under the session has ended. */
  readonly connectionClosed: AbortSignal;
  /** Called once, when the gateway has accepted us. What runs in `tasks` ends with the session. */
  readonly onAccepted: (
    session: GatewaySession,
    sessionId: string,
    tasks: TaskScope,
  ) => SessionRelays;
}

type Payload = GatewayMessage["payload"];
type OwnPayload = NonNullable<MessageInitShape<typeof SupervisorMessageSchema>["payload"]>;

/**
 * - `opening`: hello is sent, or about to be.
 * - `accepted`: relays may be opened.
 * - `ended`: for good. */
type SessionState =
  | { readonly is: "opening" }
  | { readonly is: "accepted"; readonly relays: SessionRelays }
  | { readonly is: "ended" };

export class GatewaySession {
  readonly #options: SessionOptions;
  /** Ours, not the call's: a generator that is parked is never told that its call died. */
  readonly #outbox: Handoff<SupervisorMessage>;
  readonly #ended = new AbortController();
  #state: SessionState = { is: "opening" };
  #messagesReceived = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#outbox = new Handoff({ capacity: options.limits.sessionOutboxMessages });
  }

  /** A gateway that does not read has lost the session. */
  send(payload: OwnPayload): void {
    if (this.#state.is === "ended") return;
    if (this.#outbox.offer(create(SupervisorMessageSchema, { payload }))) return;
    this.#ended.abort(new BelayError("session_lost", "the gateway does not read its session"));
  }

  /**
   * Runs until the session ends; what depends on it has then ended too.
   * @param stop aborts when we have no more use for it: then it ends in order, and this returns.
   * @throws BelayError that says why it ended otherwise.
   */
  async run({ stop }: { stop: AbortSignal }): Promise<void> {
    using call = linkedAbort(AbortSignal.any([this.#options.connectionClosed, this.#ended.signal]));
    try {
      await this.#converse(call.signal, stop);
    } catch (error) {
      // The connection's own end says more than what a call on it makes of it.
      throw asSessionEnd(call.signal.aborted ? call.signal.reason : error);
    } finally {
      this.#state = { is: "ended" };
      this.#outbox.end();
      call.abort();
    }
  }

  async #converse(signal: AbortSignal, stop: AbortSignal): Promise<void> {
    const { client, hello, limits, clock, onAccepted } = this.#options;
    const { uptimeMs, features } = hello;
    const value = { ...hello, uptimeMs: BigInt(uptimeMs), features: [...features] };
    this.send({ case: "hello", value });
    const messages = client.connectSupervisor(this.#outbox, { signal })[Symbol.asyncIterator]();
    const wait = {
      what: "session_accepted from the gateway",
      limitMs: limits.sessionAcceptMs,
      kind: "session_lost",
    } as const;
    const accepted = await waitAtMost(wait, clock, () => firstMessage(messages), { signal });

    await using tasks = new TaskScope("session", { signal });
    const relays = onAccepted(this, accepted.sessionId, tasks);
    this.#state = { is: "accepted", relays };
    tasks.run((taskSignal) => this.#receive(messages, taskSignal));
    tasks.run((taskSignal) => this.#beatHearts(accepted.heartbeatMs, taskSignal));
    await whenAborted(AbortSignal.any([tasks.signal, stop]));
    if (!tasks.signal.aborted) {
      // In order: what is queued is sent, and the gateway answers our end with its own.
      this.#outbox.end();
      await sleep(limits.sessionCloseMs, clock, tasks.signal).catch(() => {});
    }
    if (stop.aborted) return;
    if (tasks.failure !== undefined) throw tasks.failure as Error;
    signal.throwIfAborted();
  }

  async #receive(messages: AsyncIterator<GatewayMessage>, signal: AbortSignal): Promise<void> {
    for (;;) {
      // A dead call would not end this wait: the session may be over while it still stands.
      const next = await untilAbort(messages.next(), signal);
      if (next.done) throw new BelayError("session_lost", "the gateway ended the session");
      this.#messagesReceived += 1;
      this.#handle(next.value.payload);
    }
  }

  #handle(payload: Payload): void {
    switch (payload.case) {
      case "relayOpen":
      case "relayClose":
        if (this.#state.is === "accepted") this.#state.relays.handle(payload);
        return;
      case "sessionRejected":
        throw rejected(payload.value.reason);
      case "sessionAccepted":
      case "heartbeat":
      case undefined: // a message of a newer gateway
        return;
      default:
        payload satisfies never;
    }
  }

  #beatHearts(intervalMs: number, signal: AbortSignal): Promise<void> {
    const { limits, clock } = this.#options;
    return exchangeHeartbeats(
      {
        name: "gateway",
        received: () => this.#messagesReceived,
        send: () => this.send({ case: "heartbeat", value: {} }),
      },
      { intervalMs, missed: limits.heartbeatsMissed },
      clock,
      { signal },
    );
  }
}

interface Accepted {
  readonly sessionId: string;
  readonly heartbeatMs: number;
}

async function firstMessage(messages: AsyncIterator<GatewayMessage>): Promise<Accepted> {
  const first = await messages.next();
  if (first.done) throw new BelayError("session_lost", "the gateway ended the session at once");
  const { payload } = first.value;
  if (payload.case === "sessionRejected") throw rejected(payload.value.reason);
  if (payload.case !== "sessionAccepted") {
    throw new BelayError("protocol_violation", "the gateway did not answer hello");
  }
  const { sessionId, heartbeatIntervalMs, heartbeatIntervalSecs } = payload.value;
  return { sessionId, heartbeatMs: heartbeatIntervalMs || heartbeatIntervalSecs * 1_000 };
}

function rejected(reason: string): BelayError {
  return new BelayError("permission_denied", `the gateway rejected the session: ${reason}`);
}

/** Kinds in which a gateway says what is wrong with the session; all else is a session lost. */
const TELLING: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  "limit_exceeded",
  "permission_denied",
  "protocol_violation",
  "sandbox_not_found",
  "session_superseded",
  "unauthenticated",
  "unimplemented",
]);

function asSessionEnd(reason: unknown): BelayError {
  const error = fromConnectError(reason);
  if (error.kind === "session_lost" || TELLING.has(error.kind)) return error;
  return new BelayError("session_lost", "the session with the gateway was lost", { cause: error });
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
