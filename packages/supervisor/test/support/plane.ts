// plane.ts: a gateway's supervisor plane, scripted by the test.
import * as http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { GatewayMessageSchema, OpenShell, RelayFrameSchema, toConnectError } from "@belay/protocol";
import type { GatewayMessage, RelayFrame, SupervisorMessage } from "@belay/protocol";
import { Handoff, RelayPipe } from "@belay/relay-core";
import { until } from "./until.ts";

type Payload = NonNullable<MessageInitShape<typeof GatewayMessageSchema>["payload"]>;

/** One ConnectSupervisor call, from its hello on. */
export class PlaneSession {
  readonly authorization: string;
  readonly received: SupervisorMessage["payload"][] = [];
  readonly outbox = new Handoff<GatewayMessage>({ capacity: 1_000 });
  ended = false;

  constructor(context: HandlerContext) {
    this.authorization = context.requestHeader.get("authorization") ?? "";
    context.signal.addEventListener("abort", () => {
      this.ended = true;
      this.outbox.end();
    });
  }

  send(payload: Payload): void {
    this.outbox.offer(create(GatewayMessageSchema, { payload }));
  }

  accept(sessionId: string, heartbeatIntervalMs = 0): void {
    this.send({ case: "sessionAccepted", value: { sessionId, heartbeatIntervalMs } });
  }

  /** The first message of that name, past ones included. */
  async message<Name extends MessageName>(name: Name): Promise<MessageOf<Name>> {
    const isIt = (payload: SupervisorMessage["payload"]) => payload.case === name;
    const found = await until(`${name} from the supervisor`, () => this.received.find(isIt));
    return found.value as MessageOf<Name>;
  }
}

type MessageName = NonNullable<SupervisorMessage["payload"]["case"]>;
type MessageOf<Name extends MessageName> = Extract<
  SupervisorMessage["payload"],
  { case: Name }
>["value"];

export class Plane implements AsyncDisposable {
  readonly sessions: PlaneSession[] = [];
  /** Relays that the supervisor has claimed, by channel id. */
  readonly relays = new Map<string, RelayPipe>();
  /** Relays whose supervisor said, with an empty frame, that it has sent all. */
  readonly endMarks = new Set<string>();
  readonly sockets = new Set<Socket>();
  readonly #halfClosed = new Set<RelayPipe>();
  readonly #server: http2.Http2Server;
  readonly #onSession: (session: PlaneSession, index: number) => void;

  private constructor(onSession: (session: PlaneSession, index: number) => void) {
    this.#onSession = onSession;
    const handler = connectNodeAdapter({
      acceptCompression: [],
      routes: (router) =>
        router.service(OpenShell, {
          connectSupervisor: (messages, context) => this.#connect(messages, context),
          relayStream: (frames, context) => this.#relay(frames, context),
        }),
    });
    this.#server = http2.createServer({ settings: { initialWindowSize: 1024 * 1024 } }, handler);
    this.#server.on("session", (session) => session.on("error", () => {}));
    this.#server.on("connection", (socket: Socket) => {
      socket.on("error", () => {});
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
    });
  }

  /** @param onSession is called when a hello has come; an error that it throws is the call's. */
  static async start(onSession: (session: PlaneSession, index: number) => void): Promise<Plane> {
    const plane = new Plane(onSession);
    await new Promise<void>((resolve) => plane.#server.listen(0, "127.0.0.1", resolve));
    return plane;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  async session(index: number): Promise<PlaneSession> {
    return until(`session ${index}`, () => this.sessions[index]);
  }

  async relay(channelId: string): Promise<RelayPipe> {
    return until(`relay ${channelId}`, () => this.relays.get(channelId));
  }

  /** Says, with an empty frame, that no more will be sent; `pipe.end()` alone ends the relay. */
  halfClose(pipe: RelayPipe): void {
    this.#halfClosed.add(pipe);
    pipe.end();
  }

  /** The connections end as if their machine had. */
  cutAll(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async #connectFirst(messages: AsyncIterator<SupervisorMessage>, session: PlaneSession) {
    const first = await messages.next();
    if (!first.done) session.received.push(first.value.payload);
  }

  async *#connect(
    messages: AsyncIterable<SupervisorMessage>,
    context: HandlerContext,
  ): AsyncGenerator<GatewayMessage> {
    const session = new PlaneSession(context);
    const iterator = messages[Symbol.asyncIterator]();
    await this.#connectFirst(iterator, session);
    this.sessions.push(session);
    try {
      this.#onSession(session, this.sessions.length - 1);
    } catch (error) {
      throw toConnectError(error);
    }
    void readAll(iterator, session);
    try {
      yield* session.outbox;
    } catch (error) {
      throw toConnectError(error);
    }
  }

  async *#relay(
    frames: AsyncIterable<RelayFrame>,
    context: HandlerContext,
  ): AsyncGenerator<RelayFrame> {
    const iterator = frames[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done || first.value.payload.case !== "init") throw new Error("no init");
    const pipe = new RelayPipe();
    context.signal.addEventListener("abort", () => pipe.destroy(context.signal.reason as Error));
    const { channelId } = first.value.payload.value;
    this.relays.set(channelId, pipe);
    void receiveAll(iterator, pipe, () => this.endMarks.add(channelId));
    for (let data = await pipe.nextFrame(); data; data = await pipe.nextFrame()) {
      yield create(RelayFrameSchema, { payload: { case: "data", value: data } });
    }
    if (this.#halfClosed.has(pipe)) {
      yield create(RelayFrameSchema, { payload: { case: "data", value: new Uint8Array() } });
      if (!pipe.closed) await new Promise<void>((resolve) => pipe.once("close", resolve));
    }
    if (pipe.errored) throw toConnectError(pipe.errored);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.outbox.end();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function readAll(messages: AsyncIterator<SupervisorMessage>, session: PlaneSession) {
  try {
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      session.received.push(next.value.payload);
    }
  } catch {
    // the call has died
  }
  session.ended = true;
  session.outbox.end();
}

async function receiveAll(
  frames: AsyncIterator<RelayFrame>,
  pipe: RelayPipe,
  onEndMark: () => void,
): Promise<void> {
  try {
    for (let next = await frames.next(); !next.done; next = await frames.next()) {
      if (next.value.payload.case !== "data") continue;
      if (next.value.payload.value.byteLength === 0) onEndMark();
      await pipe.receive(next.value.payload.value);
    }
    pipe.receiveEnd();
  } catch (error) {
    pipe.destroy(error as Error);
  }
}
