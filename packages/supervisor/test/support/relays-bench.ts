// relays-bench.ts: the relays of one session with a scripted gateway, and TCP servers for them to reach.
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { TaskScope, systemClock } from "@belay/relay-core";
import type { RelayPipe } from "@belay/relay-core";
import { defaultLimits } from "../../src/limits.ts";
import type { SupervisorLimits } from "../../src/limits.ts";
import { createGatewayClient } from "../../src/link/gateway-client.ts";
import { PinnedConnection } from "../../src/link/pinned-connection.ts";
import { Relays } from "../../src/relays/relays.ts";
import { Plane } from "./plane.ts";
import { RecordingLog } from "./recording-log.ts";
import { until } from "./until.ts";

export class RelaysBench implements AsyncDisposable {
  readonly plane: Plane;
  readonly relays: Relays;
  readonly log = new RecordingLog();
  /** What the gateway was told, by channel id: undefined for a success. */
  readonly answers = new Map<string, string | undefined>();
  readonly takenBack = new Map<string, string>();
  readonly tasks: TaskScope;
  readonly #connection: PinnedConnection;
  #channels = 0;

  static async start(limits: Partial<SupervisorLimits> = {}): Promise<RelaysBench> {
    const plane = await Plane.start(() => {});
    const all = { ...defaultLimits, ...limits };
    const connection = await PinnedConnection.open(
      {
        gateway: plane.url,
        tls: {},
        keepalive: all.http2Keepalive,
        connectMs: all.connectMs,
        socketCloseMs: all.socketCloseMs,
        clock: systemClock,
      },
      { signal: new AbortController().signal },
    );
    return new RelaysBench(plane, connection, all);
  }

  private constructor(plane: Plane, connection: PinnedConnection, limits: SupervisorLimits) {
    this.plane = plane;
    this.#connection = connection;
    this.tasks = new TaskScope("bench", { signal: new AbortController().signal });
    this.relays = new Relays({
      client: createGatewayClient(connection, "token", limits),
      ssh: { serve: () => {} } as never,
      pipePool: { take: () => Promise.resolve([]) } as never,
      limits,
      clock: systemClock,
      log: this.log,
      draining: new AbortController().signal,
      answer: (channelId, refusal) => this.answers.set(channelId, refusal),
      takeBack: (channelId, reason) => this.takenBack.set(channelId, reason),
      tasks: this.tasks,
    });
  }

  /** Asks for a relay; gives its channel id. */
  ask(target: { host: string; port: number } | "ssh"): string {
    const channelId = `channel-${(this.#channels += 1)}`;
    const wanted =
      target === "ssh"
        ? ({ case: "ssh", value: {} } as const)
        : ({ case: "tcp", value: target } as const);
    this.relays.handle({ case: "relayOpen", value: { channelId, target: wanted } as never });
    return channelId;
  }

  /** What the gateway is told of it: undefined for a success. */
  async answer(channelId: string): Promise<string | undefined> {
    await until(`an answer to ${channelId}`, () => this.answers.has(channelId));
    return this.answers.get(channelId);
  }

  async open(port: number, host = "127.0.0.1"): Promise<{ id: string; pipe: RelayPipe }> {
    const id = this.ask({ host, port });
    const refusal = await this.answer(id);
    if (refusal !== undefined) throw new Error(refusal);
    return { id, pipe: await this.plane.relay(id) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tasks[Symbol.asyncDispose]();
    this.#connection.close();
    await this.plane[Symbol.asyncDispose]();
  }
}

export interface TcpTarget extends AsyncDisposable {
  readonly port: number;
  /** The connections that came, in order. */
  readonly sockets: Socket[];
  socket(at?: number): Promise<Socket>;
}

export async function tcpTarget(
  onSocket: (socket: Socket) => void = () => {},
  host = "127.0.0.1",
): Promise<TcpTarget> {
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
    onSocket(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    socket: (at = 0) => until(`connection ${at}`, () => sockets[at]),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
