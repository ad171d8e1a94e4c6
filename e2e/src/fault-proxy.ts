// fault-proxy.ts: a TCP proxy on loopback that is a perfect wire until a test says otherwise.
//
// Commands to the proxy hold for its live connections and for those that come; commands to one connection for that one alone.
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { seededRandom } from "@belay/relay-core/testing";
import { cloneFaults, directionsOf, noFaults } from "./fault-plan.ts";
import type { CutAfter, CutHow, Direction, Faults } from "./fault-plan.ts";
import { ProxiedConnection } from "./proxied-connection.ts";
import { within } from "./wait.ts";

export interface FaultProxyOptions {
  targetPort: number;
  /** Seed of the jitter. Defaults to 1. */
  seed?: number;
}

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host: "127.0.0.1", port: 0 }, resolve);
  await promise;
  return new FaultProxy(server, options);
}

export class FaultProxy implements AsyncDisposable {
  readonly port: number;
  /** Connections accepted so far, refused ones included. */
  accepted = 0;
  /** Connections refused so far. */
  refused = 0;
  readonly #server: Server;
  readonly #random: () => number;
  readonly #live = new Set<ProxiedConnection>();
  #targetPort: number;
  #faults: Faults = noFaults();
  #refusing = false;
  #plannedCuts: CutAfter[] = [];
  readonly #waiters = new Set<(connection: ProxiedConnection) => void>();

  constructor(server: Server, options: FaultProxyOptions) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#targetPort = options.targetPort;
    this.#random = seededRandom(options.seed ?? 1);
    server.on("connection", (client) => this.#accept(client));
  }

  /** An http:// address of this proxy. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Live connections, oldest first. */
  get connections(): ProxiedConnection[] {
    return [...this.#live];
  }

  get targetPort(): number {
    return this.#targetPort;
  }

  /** Where connections go that are dialled from now on. Live ones stay where they are. */
  retarget(port: number): void {
    this.#targetPort = port;
  }

  /** Resolves with the next accepted connection, before any byte of it has passed. */
  async nextConnection(limitMs = 10_000): Promise<ProxiedConnection> {
    const { promise, resolve } = Promise.withResolvers<ProxiedConnection>();
    this.#waiters.add(resolve);
    try {
      return await within("a new connection through the proxy", limitMs, promise);
    } finally {
      this.#waiters.delete(resolve);
    }
  }

  /** Cuts each live connection now. */
  cut(how: CutHow): void {
    for (const connection of this.#live) connection.cut(how);
  }

  /** Plans a cut of the next connection that comes; called n times, of the next n. Live ones: see ProxiedConnection.cutAfter. */
  cutNextAfter(plan: CutAfter): void {
    this.#plannedCuts.push(plan);
  }

  /** A dead path: sockets stay open and hear nothing. New connections are accepted and swallowed, too. */
  blackhole(which: Direction | "both" = "both"): void {
    for (const direction of directionsOf(which)) this.#faults[direction].held = true;
    for (const connection of this.#live) connection.blackhole(which);
  }

  /** One-way latency: a round trip takes twice `ms`. */
  delay(ms: number, jitterMs = 0, which: Direction | "both" = "both"): void {
    for (const direction of directionsOf(which))
      Object.assign(this.#faults[direction], { delayMs: ms, jitterMs });
    for (const connection of this.#live) connection.delay(ms, jitterMs, which);
  }

  throttle(bytesPerSecond: number, which: Direction | "both" = "both"): void {
    for (const direction of directionsOf(which))
      this.#faults[direction].bytesPerSecond = bytesPerSecond;
    for (const connection of this.#live) connection.throttle(bytesPerSecond, which);
  }

  /** Cuts a connection that had no byte either way for `idleMs`, as load balancers do. */
  closeIdle(idleMs: number, how: CutHow = "fin"): void {
    Object.assign(this.#faults, { idleMs, idleHow: how });
    for (const connection of this.#live) connection.closeIdle(idleMs, how);
  }

  /** New connections are reset at once. The port stays bound, so that no other program gets it meanwhile. */
  refuse(): void {
    this.#refusing = true;
  }

  /** No fault from here on: not for live connections, not for new ones, and no planned cut. */
  heal(): void {
    this.#refusing = false;
    this.#plannedCuts = [];
    this.#faults = noFaults();
    for (const connection of this.#live) connection.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#refusing = true;
    this.#server.close(() => resolve());
    this.cut("rst");
    await within("the proxy to close", 5_000, promise);
  }

  #accept(client: Socket): void {
    this.accepted++;
    if (this.#refusing) {
      this.refused++;
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const connection = new ProxiedConnection({
      id: this.accepted,
      client,
      targetPort: () => this.#targetPort,
      faults: cloneFaults(this.#faults),
      random: this.#random,
    });
    this.#live.add(connection);
    void connection.closed.then(() => this.#live.delete(connection));
    const plan = this.#plannedCuts.shift();
    if (plan !== undefined) connection.cutAfter(plan);
    for (const waiter of this.#waiters) waiter(connection);
    this.#waiters.clear();
  }
}
