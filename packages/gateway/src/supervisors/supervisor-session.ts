// supervisor-session.ts: the association of one supervisor with this gateway.
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, GatewayMessageSchema } from "@belay/protocol";
import type { GatewayMessage, SupervisorFeature } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";

type Payload = NonNullable<MessageInitShape<typeof GatewayMessageSchema>["payload"]>;

export interface SessionPeer {
  readonly sandboxId: string;
  readonly instanceId: string;
  /** That instance was started then, or earlier; an instant of the gateway's clock. */
  readonly startedByMs: number;
  readonly features: ReadonlySet<string>;
}

/** Lives from the accepted hello to the first `end()`, whose reason everything that depends on the
 * session hears through `ended`. */
export class SupervisorSession {
  readonly id = randomUUID();
  readonly sandboxId: string;
  readonly instanceId: string;
  readonly startedByMs: number;
  readonly #features: ReadonlySet<string>;
  readonly #ended = new AbortController();
  readonly #outbox: Handoff<GatewayMessage>;
  /** Messages received, of any kind: the sign of progress that heartbeats are checked by. */
  messagesReceived = 0;

  constructor(peer: SessionPeer, { outboxMessages }: { outboxMessages: number }) {
    this.sandboxId = peer.sandboxId;
    this.instanceId = peer.instanceId;
    this.startedByMs = peer.startedByMs;
    this.#features = peer.features;
    this.#outbox = new Handoff({ capacity: outboxMessages });
  }

  /** Aborts when the session ends; its reason is a BelayError. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** What the RPC sends to the supervisor; fails with the reason of the end. */
  get outbox(): AsyncIterable<GatewayMessage> {
    return this.#outbox;
  }

  offers(feature: SupervisorFeature): boolean {
    return this.#features.has(feature);
  }

  /** Queues a message. A supervisor that does not read its control stream has lost its session. */
  send(payload: Payload): void {
    if (this.ended.aborted) return;
    if (this.#outbox.offer(create(GatewayMessageSchema, { payload }))) return;
    this.end(
      new BelayError("session_lost", "supervisor does not read its control stream", {
        ids: { sandboxId: this.sandboxId, sessionId: this.id },
      }),
    );
  }

  /** The first reason counts. */
  end(reason: BelayError): void {
    if (this.ended.aborted) return;
    this.#outbox.fail(reason);
    this.#ended.abort(reason);
  }
}
