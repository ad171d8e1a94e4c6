// puppet-supervisor.ts: a supervisor on strings. It speaks the supervisor's plane of the contract and does what a test tells it,
// so that a gateway meets behaviours that a healthy supervisor never shows. It lives in the test's own process.
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { OpenShell, SupervisorMessageSchema } from "@belay/protocol";
import type { GatewayMessage, RelayFrame, RelayOpen, SupervisorMessage } from "@belay/protocol";
import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { PinnedConnection } from "./pinned-connection.ts";
import { exits, serveSsh } from "./puppet-ssh.ts";
import type { ExecBehaviour, PuppetExec } from "./puppet-ssh.ts";
import { serves } from "./puppet-relays.ts";
import type { RelayScript } from "./puppet-relays.ts";
import { initFrame, RelayDuplex } from "./relay-duplex.ts";
import { poll, startTimer } from "./wait.ts";
import type { Timer } from "./wait.ts";

export interface PuppetOptions {
  /** The gateway, or a fault proxy before it. */
  url: string;
  /** What a gateway with TLS is trusted by, PEM. */
  ca?: string;
  token: string;
  sandboxId: string;
  /** Defaults to a fresh one. */
  instanceId?: string;
  /** Announced in the hello. Defaults to none: a foreign OpenShell supervisor. */
  features?: string[];
  /** What it does with each RelayOpen. Defaults to serving SSH on which each exec exits 0. May be changed at any time. */
  relays?: RelayScript;
  /** False: never a heartbeat, while HTTP/2 goes on answering. Defaults to true. */
  heartbeats?: boolean;
  /** Defaults to a hello; for a wrong first message. */
  firstMessage?: MessageInitShape<typeof SupervisorMessageSchema>;
}

/** Connects, says hello, and resolves when the gateway has accepted or rejected the session. */
export async function startPuppet(options: PuppetOptions): Promise<PuppetSupervisor> {
  const puppet = new PuppetSupervisor(options);
  try {
    await puppet.answered();
    return puppet;
  } catch (error) {
    await puppet[Symbol.asyncDispose]();
    throw error;
  }
}

export class PuppetSupervisor implements AsyncDisposable {
  readonly connection: PinnedConnection;
  /** All that the gateway said on the session, in order. */
  readonly received: GatewayMessage[] = [];
  /** RelayStream calls made, in order. */
  readonly claims: RelayDuplex[] = [];
  /** Exec requests that came, in order. */
  readonly execs: Omit<PuppetExec, "channel">[] = [];
  /** Resolves when the session is over: undefined for OK, else the error. Never rejects. */
  readonly ended: Promise<unknown>;
  relays: RelayScript;
  over = false;
  readonly #options: PuppetOptions;
  readonly #client: Client<typeof OpenShell>;
  readonly #cancel = new AbortController();
  #outbox: SupervisorMessage[] = [];
  #wakeSender: (() => void) | undefined;
  #outputEnded = false;
  #heartbeats: boolean;
  #heartbeatTimer: Timer | undefined;

  constructor(options: PuppetOptions) {
    this.#options = options;
    this.relays = options.relays ?? serves(exits(0));
    this.#heartbeats = options.heartbeats ?? true;
    this.connection = new PinnedConnection(
      options.url,
      options.ca === undefined ? {} : { ca: options.ca },
    );
    const transport = createGrpcTransport({
      baseUrl: options.url,
      sessionManager: this.connection,
      acceptCompression: [],
      interceptors: [
        (next) => async (request) => {
          request.header.set("authorization", `Bearer ${options.token}`);
          return await next(request);
        },
      ],
    });
    this.#client = createClient(OpenShell, transport);
    this.send(options.firstMessage ?? { payload: { case: "hello", value: this.#hello() } });
    this.ended = this.#run();
  }

  /** The gateway's session id; undefined when it was rejected. */
  get sessionId(): string | undefined {
    const first = this.received[0]?.payload;
    return first?.case === "sessionAccepted" ? first.value.sessionId : undefined;
  }

  get opens(): RelayOpen[] {
    return this.received.flatMap(({ payload }) =>
      payload.case === "relayOpen" ? [payload.value] : [],
    );
  }

  get heartbeatsReceived(): number {
    return this.received.filter(({ payload }) => payload.case === "heartbeat").length;
  }

  /** Resolves with the gateway's first message; rejects when the session ended before. */
  async answered(limitMs = 10_000): Promise<GatewayMessage> {
    return await this.waitFor("the gateway's answer to the hello", () => this.received[0], limitMs);
  }

  /** Resolves with the n-th RelayOpen, counted from 1. */
  async opened(n = 1, limitMs = 10_000): Promise<RelayOpen> {
    return await this.waitFor(`RelayOpen ${n}`, () => this.opens[n - 1], limitMs);
  }

  /** Resolves with the n-th exec request, counted from 1. */
  async execRequested(n = 1, limitMs = 10_000): Promise<Omit<PuppetExec, "channel">> {
    return await this.waitFor(`exec ${n}`, () => this.execs[n - 1], limitMs);
  }

  async waitFor<T>(what: string, look: () => T | undefined, limitMs = 10_000): Promise<T> {
    await poll(what, () => look() !== undefined || this.over, { limitMs, everyMs: 5 });
    const found = look();
    if (found === undefined)
      throw new Error(`the session ended before ${what}`, { cause: await this.ended });
    return found;
  }

  send(message: MessageInitShape<typeof SupervisorMessageSchema>): void {
    this.#outbox.push(create(SupervisorMessageSchema, message));
    this.#wakeSender?.();
  }

  report(channelId: string, success: boolean, error = ""): void {
    this.send({ payload: { case: "relayOpenResult", value: { channelId, success, error } } });
  }

  reportOpened(channelId: string): void {
    this.report(channelId, true);
  }

  closeRelay(channelId: string, reason: string): void {
    this.send({ payload: { case: "relayClose", value: { channelId, reason } } });
  }

  /** Calls RelayStream with a proper init for any channel id, one's own or not. */
  claim(channelId: string): RelayDuplex {
    return this.openRelay([initFrame(channelId)]);
  }

  openRelay(first: RelayFrame[]): RelayDuplex {
    const relay = new RelayDuplex(this.#client, first);
    this.claims.push(relay);
    return relay;
  }

  serve(relay: RelayDuplex, behaviour: ExecBehaviour): void {
    serveSsh(relay, behaviour, (exec) => this.execs.push(exec));
  }

  /** From now on the program makes no progress, as far as the gateway can tell; its HTTP/2 still answers. */
  stopHeartbeats(): void {
    this.#heartbeats = false;
    this.#heartbeatTimer?.cancel();
  }

  /** Half-closes the session's request stream. */
  endSession(): void {
    this.#outputEnded = true;
    this.#wakeSender?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopHeartbeats();
    this.#cancel.abort();
    this.endSession();
    for (const relay of this.claims) relay.destroy();
    this.connection[Symbol.dispose]();
    await Promise.all([this.ended, ...this.claims.map((relay) => relay.ended)]);
  }

  #hello(): { sandboxId: string; instanceId: string; features: string[] } {
    const { sandboxId, instanceId = randomUUID(), features = [] } = this.#options;
    return { sandboxId, instanceId, features };
  }

  async #run(): Promise<unknown> {
    try {
      await this.connection.ready();
      for await (const message of this.#client.connectSupervisor(this.#outgoing(), {
        signal: this.#cancel.signal,
      })) {
        this.received.push(message);
        this.#react(message);
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      this.over = true;
      this.stopHeartbeats();
      this.endSession();
    }
  }

  #react({ payload }: GatewayMessage): void {
    if (payload.case === "relayOpen") this.relays(this, payload.value);
    if (payload.case !== "sessionAccepted") return;
    const { heartbeatIntervalMs, heartbeatIntervalSecs } = payload.value;
    this.#beat(heartbeatIntervalMs || heartbeatIntervalSecs * 1_000);
  }

  #beat(everyMs: number): void {
    if (!this.#heartbeats || everyMs === 0) return;
    this.send({ payload: { case: "heartbeat", value: {} } });
    this.#heartbeatTimer = startTimer(everyMs, () => this.#beat(everyMs));
  }

  async *#outgoing(): AsyncGenerator<SupervisorMessage> {
    for (;;) {
      const message = this.#outbox.shift();
      if (message !== undefined) {
        yield message;
        continue;
      }
      if (this.#outputEnded) return;
      await new Promise<void>((resolve) => (this.#wakeSender = resolve));
    }
  }
}
