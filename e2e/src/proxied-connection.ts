// proxied-connection.ts: one connection through the fault proxy: its two sockets, its two pipes, its faults and its end.
import { Socket } from "node:net";
import { FaultPipe } from "./fault-pipe.ts";
import { directionsOf, noFaults } from "./fault-plan.ts";
import type { CutAfter, CutHow, Direction, Faults } from "./fault-plan.ts";
import { startTimer, within } from "./wait.ts";
import type { Timer } from "./wait.ts";

type Side = "client" | "target";

/** Who ended a connection, and how. "proxy" means a fault that a test asked for. */
export interface ConnectionEnd {
  by: Side | "proxy";
  how: CutHow;
}

export interface ProxiedConnectionOptions {
  id: number;
  client: Socket;
  /** Asked when the way up opens: a black-holed connection reaches no target before it heals. */
  targetPort: () => number;
  faults: Faults;
  random: () => number;
}

/** After an orderly cut the peers get this long to close; then the sockets go away anyway. */
const lingerMs = 1_000;

export class ProxiedConnection {
  readonly id: number;
  /** Resolves when both sockets are gone. Never rejects. */
  readonly closed: Promise<ConnectionEnd>;
  readonly #resolveClosed: (end: ConnectionEnd) => void;
  readonly #sockets: Record<Side, Socket>;
  readonly #pipes: Record<Direction, FaultPipe>;
  readonly #targetPort: () => number;
  readonly #random: () => number;
  #faults: Faults;
  #dialled = false;
  #end: ConnectionEnd | undefined;
  /** Sides that are gone without the other side having heard of it, because a black hole is between them. */
  readonly #unheard = new Set<Side>();
  #openSockets = 2;
  #lastByteMs = performance.now();
  #idleTimer: Timer | undefined;
  #lingerTimer: Timer | undefined;
  #cutPointHow: CutHow = "rst";
  readonly #watchers = new Set<() => void>();

  constructor(options: ProxiedConnectionOptions) {
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.id = options.id;
    this.closed = promise;
    this.#resolveClosed = resolve;
    this.#targetPort = options.targetPort;
    this.#random = options.random;
    this.#faults = options.faults;
    this.#sockets = { client: options.client, target: new Socket({ allowHalfOpen: true }) };
    this.#pipes = { up: this.#openPipe("up"), down: this.#openPipe("down") };
    this.#watch("client");
    this.#watch("target");
    this.#pipes.down.flowTo(this.#sockets.client);
    this.setFaults(options.faults);
  }

  /** Bytes handed on so far, per direction. */
  get bytes(): Record<Direction, number> {
    return { up: this.#pipes.up.deliveredBytes, down: this.#pipes.down.deliveredBytes };
  }

  /** False once a cut was done or both sockets are gone. A black-holed connection is live. */
  get live(): boolean {
    return this.#end === undefined && this.#openSockets > 0;
  }

  cut(how: CutHow): void {
    this.#close("proxy", how);
  }

  cutAfter(plan: CutAfter): void {
    const { direction, bytes, how = "rst", from = "start" } = plan;
    this.#cutPointHow = how;
    this.#pipes[direction].cutAt(from === "now" ? this.bytes[direction] + bytes : bytes);
  }

  blackhole(which: Direction | "both"): void {
    for (const direction of directionsOf(which)) this.#faults[direction].held = true;
    this.setFaults(this.#faults);
  }

  delay(ms: number, jitterMs = 0, which: Direction | "both" = "both"): void {
    for (const direction of directionsOf(which))
      Object.assign(this.#faults[direction], { delayMs: ms, jitterMs });
    this.setFaults(this.#faults);
  }

  throttle(bytesPerSecond: number, which: Direction | "both" = "both"): void {
    for (const direction of directionsOf(which))
      this.#faults[direction].bytesPerSecond = bytesPerSecond;
    this.setFaults(this.#faults);
  }

  closeIdle(idleMs: number, how: CutHow = "fin"): void {
    this.setFaults({ ...this.#faults, idleMs, idleHow: how });
  }

  /** No fault from here on, planned cuts included. What a black hole held is delivered, in order; ends are passed on. */
  heal(): void {
    for (const direction of directionsOf("both")) this.#pipes[direction].cutAt(Infinity);
    this.setFaults(noFaults());
  }

  /** Replaces all faults of this connection. The object becomes the connection's own. */
  setFaults(faults: Faults): void {
    this.#faults = faults;
    for (const side of this.#unheard) this.#passOnEnd(side);
    if (this.#end !== undefined) return;
    if (!faults.up.held) this.#dial();
    for (const direction of directionsOf("both"))
      this.#pipes[direction].setFaults({ ...faults[direction] });
    this.#lastByteMs = performance.now();
    this.#watchIdle();
  }

  /**
   * Resolves once `bytes` bytes of the connection have passed in that direction.
   * @param limitMs Defaults to 10_000.
   */
  async passed(direction: Direction, bytes: number, limitMs = 10_000): Promise<void> {
    if (this.bytes[direction] >= bytes) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.bytes[direction] >= bytes) resolve();
    };
    using _ = this.watch(look);
    await within(
      `${bytes} bytes ${direction} on connection ${this.id}`,
      limitMs,
      promise,
      () => `passed: ${this.bytes[direction]}`,
    );
  }

  /** Calls `look` whenever bytes were handed on, in either direction. */
  watch(look: () => void): Disposable {
    this.#watchers.add(look);
    return { [Symbol.dispose]: () => void this.#watchers.delete(look) };
  }

  #openPipe(direction: Direction): FaultPipe {
    return new FaultPipe({
      source: this.#sockets[direction === "up" ? "client" : "target"],
      faults: { ...this.#faults[direction] },
      random: this.#random,
      onDelivered: () => {
        if (this.#idleTimer !== undefined) this.#lastByteMs = performance.now();
        for (const look of this.#watchers) look();
      },
      onCutPoint: () => this.#close("proxy", this.#cutPointHow),
    });
  }

  #dial(): void {
    if (this.#dialled) return;
    this.#dialled = true;
    const { target } = this.#sockets;
    target.setNoDelay(true);
    // Only a connected socket counts what it was given: one that still dials would lose it in a cut.
    target.once("connect", () => this.#pipes.up.flowTo(target));
    target.connect({ host: "127.0.0.1", port: this.#targetPort() });
  }

  #watch(side: Side): void {
    const socket = this.#sockets[side];
    // An error is an end without a FIN: a reset, or a target that could not be reached.
    socket.on("error", () => this.#passOnEnd(side));
    socket.on("close", () => {
      this.#openSockets--;
      if (this.#openSockets > 0) return;
      this.#stopTimers();
      this.#resolveClosed(this.#end ?? { by: side, how: "fin" });
    });
  }

  /** A reset overtakes what is still queued, but it does not get through a black hole. */
  #passOnEnd(side: Side): void {
    const toOther: Direction = side === "client" ? "up" : "down";
    this.#pipes[toOther === "up" ? "down" : "up"].stop();
    if (this.#faults[toOther].held) this.#unheard.add(side);
    else this.#close(side, "rst");
  }

  #close(by: ConnectionEnd["by"], how: CutHow): void {
    if (this.#end !== undefined) return;
    this.#end = { by, how };
    this.#stopTimers();
    for (const direction of directionsOf("both")) this.#pipes[direction].stop();
    for (const socket of Object.values(this.#sockets)) closeSocket(socket, how);
    if (how === "rst") return;
    this.#lingerTimer = startTimer(lingerMs, () => {
      for (const socket of Object.values(this.#sockets)) socket.destroy();
    });
  }

  #watchIdle(): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = undefined;
    const { idleMs, idleHow } = this.#faults;
    if (idleMs === Infinity) return;
    const leftMs = this.#lastByteMs + idleMs - performance.now();
    if (leftMs <= 0) this.#close("proxy", idleHow);
    else this.#idleTimer = startTimer(Math.ceil(leftMs), () => this.#watchIdle());
  }

  #stopTimers(): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = undefined;
    this.#lingerTimer?.cancel();
  }
}

function closeSocket(socket: Socket, how: CutHow): void {
  if (socket.pending) return void socket.destroy(); // there is no connection yet to end in one way or the other
  if (how === "rst") return void socket.resetAndDestroy();
  // Reading on matters: closing a socket with unread bytes would send an RST where a FIN was asked for.
  socket.end();
  socket.resume();
}
