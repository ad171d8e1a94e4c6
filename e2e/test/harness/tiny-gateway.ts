// tiny-gateway.ts: just enough of a gateway to try the puppet supervisor on. It checks nothing and bounds nothing.
import { createServer } from "node:http2";
import type { Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { GatewayMessageSchema, OpenShell, RelayFrameSchema } from "@belay/protocol";
import type { GatewayMessage, RelayFrame, SupervisorMessage } from "@belay/protocol";

export class TinyGateway implements AsyncDisposable {
  readonly said: SupervisorMessage[] = [];
  readonly relays = new Map<string, Duplex[]>();
  readonly firstFrames: RelayFrame[] = [];
  url = "";
  #server: Http2Server;
  #outbox = new PassThrough({ objectMode: true });

  constructor() {
    const rpc = connectNodeAdapter({
      acceptCompression: [],
      routes: (router) => {
        router.rpc(OpenShell.method.connectSupervisor, (requests, context) =>
          this.#session(requests, context),
        );
        router.rpc(OpenShell.method.relayStream, (requests, context) =>
          this.#relay(requests, context),
        );
      },
    });
    this.#server = createServer(rpc);
    this.#server.on("sessionError", () => {});
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  openRelay(channelId: string): void {
    this.#outbox.write(
      create(GatewayMessageSchema, { payload: { case: "relayOpen", value: { channelId } } }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#outbox.end();
    this.#server.close();
    await once(this.#server, "close");
  }

  async *#session(
    requests: AsyncIterable<SupervisorMessage>,
    context: HandlerContext,
  ): AsyncGenerator<GatewayMessage> {
    const reading = (async () => {
      for await (const message of requests) this.said.push(message);
    })().catch(() => {});
    context.signal.addEventListener("abort", () => this.#outbox.end());
    yield create(GatewayMessageSchema, {
      payload: {
        case: "sessionAccepted",
        value: { sessionId: "session-1", heartbeatIntervalSecs: 1, heartbeatIntervalMs: 20 },
      },
    });
    yield* this.#outbox as AsyncIterable<GatewayMessage>;
    await reading;
  }

  async *#relay(
    requests: AsyncIterable<RelayFrame>,
    context: HandlerContext,
  ): AsyncGenerator<RelayFrame> {
    const frames = requests[Symbol.asyncIterator]();
    const first = await frames.next();
    if (first.done === true) throw new ConnectError("empty RelayStream", Code.InvalidArgument);
    this.firstFrames.push(first.value);
    const { payload } = first.value;
    if (payload.case !== "init")
      throw new ConnectError("first RelayFrame must be init", Code.InvalidArgument);
    const toPuppet = new PassThrough();
    const fromPuppet = new PassThrough();
    const relay = Duplex.from({ readable: fromPuppet, writable: toPuppet });
    // As a socket does it: ssh2 waits for ever on a peer that only half-closed.
    relay.allowHalfOpen = false;
    relay.on("error", () => {});
    const claimed = this.relays.get(payload.value.channelId) ?? [];
    this.relays.set(payload.value.channelId, [...claimed, relay]);
    context.signal.addEventListener("abort", () => relay.destroy());
    const reading = (async () => {
      for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
        if (next.value.payload.case === "data") fromPuppet.write(next.value.payload.value);
      }
      fromPuppet.end();
    })().catch(() => relay.destroy());
    for await (const value of toPuppet as AsyncIterable<Buffer<ArrayBuffer>>) {
      yield create(RelayFrameSchema, { payload: { case: "data", value } });
    }
    await reading;
  }
}
