// fault-pipe.ts: carries the bytes of one direction of one proxied connection, and does to them what the plan says.
import type { Socket } from "node:net";
import type { PipeFaults } from "./fault-plan.ts";
import { startTimer } from "./wait.ts";
import type { Timer } from "./wait.ts";

export interface FaultPipeOptions {
  source: Socket;
  faults: PipeFaults;
  random: () => number;
  /** Called for each delivery, with the bytes of that delivery. */
  onDelivered: (bytes: number) => void;
  /** Called once when the byte count that cutAt() named has been delivered. */
  onCutPoint: () => void;
}

interface Chunk {
  bytes: Buffer;
  dueMs: number;
}

/** A delaying pipe stops reading above this: a bound on memory, wide enough for 16 MiB in flight. */
const maxQueuedBytes = 16 * 1024 * 1024;

export class FaultPipe {
  /** Bytes handed to the sink's kernel buffer or to its write queue. */
  deliveredBytes = 0;
  readonly #source: Socket;
  readonly #random: () => number;
  readonly #onDelivered: (bytes: number) => void;
  readonly #onCutPoint: () => void;
  #sink: Socket | undefined;
  #faults: PipeFaults;
  #queue: Chunk[] = [];
  #head = 0;
  #queuedBytes = 0;
  #lastDueMs = 0;
  #sinkFull = false;
  #sourceEnded = false;
  #endSent = false;
  #stopped = false;
  #cutAtBytes = Infinity;
  #timer: Timer | undefined;
  #tokens = 0;
  #tokensAtMs = 0;

  constructor(options: FaultPipeOptions) {
    this.#source = options.source;
    this.#faults = options.faults;
    this.#random = options.random;
    this.#onDelivered = options.onDelivered;
    this.#onCutPoint = options.onCutPoint;
    this.#source.on("data", (bytes: Buffer) => this.#accept(bytes));
    this.#source.on("end", () => {
      this.#sourceEnded = true;
      this.#lastDueMs = this.#dueMs();
      this.#pump();
    });
    this.#source.pause();
  }

  get held(): boolean {
    return this.#faults.held;
  }

  /** Starts the flow towards `sink`. Until then the source is not read. */
  flowTo(sink: Socket): void {
    this.#sink = sink;
    sink.on("drain", () => {
      this.#sinkFull = false;
      this.#pump();
    });
    this.#pump();
  }

  setFaults(faults: PipeFaults): void {
    if (faults.bytesPerSecond !== this.#faults.bytesPerSecond) {
      this.#tokens = 0;
      this.#tokensAtMs = performance.now();
    }
    // Healing means now: what waits for a later instant no longer does.
    if (faults.delayMs === 0 && faults.jitterMs === 0) this.#forgetDueTimes();
    this.#faults = faults;
    this.#pump();
  }

  /** Infinity disarms. A count that has already passed cuts at once. */
  cutAt(bytes: number): void {
    this.#cutAtBytes = bytes;
    if (!this.#stopped && this.deliveredBytes >= bytes) this.#onCutPoint();
    else this.#pump();
  }

  /** Delivers nothing more and forgets what waits. The sockets belong to the connection. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#queue = [];
    this.#head = 0;
    this.#queuedBytes = 0;
  }

  #accept(bytes: Buffer): void {
    if (this.#stopped) return;
    this.#queue.push({ bytes, dueMs: this.#dueMs() });
    this.#queuedBytes += bytes.length;
    this.#pump();
  }

  #dueMs(): number {
    const { delayMs, jitterMs } = this.#faults;
    if (delayMs === 0 && jitterMs === 0) return 0;
    this.#lastDueMs = Math.max(
      this.#lastDueMs,
      performance.now() + delayMs + jitterMs * this.#random(),
    );
    return this.#lastDueMs;
  }

  #forgetDueTimes(): void {
    for (let at = this.#head; at < this.#queue.length; at++) this.#queue[at]!.dueMs = 0;
    this.#lastDueMs = 0;
  }

  #pump(): void {
    if (this.#stopped) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const waitMs = this.#deliverDue();
    if (this.#stopped) return;
    if (waitMs !== undefined)
      this.#timer = startTimer(Math.max(1, Math.ceil(waitMs)), () => this.#pump());
    const mayRead =
      this.#sink !== undefined &&
      !this.#faults.held &&
      !this.#sinkFull &&
      this.#queuedBytes < maxQueuedBytes;
    if (mayRead) this.#source.resume();
    else this.#source.pause();
  }

  /** Delivers all that may go now. Gives the milliseconds until more may go, or undefined when no timer is needed. */
  #deliverDue(): number | undefined {
    const sink = this.#sink;
    if (sink === undefined) return undefined;
    while (!this.#faults.held && !this.#sinkFull) {
      const chunk = this.#queue[this.#head];
      if (chunk === undefined) return this.#deliverEnd(sink);
      const earlyMs = chunk.dueMs === 0 ? 0 : chunk.dueMs - performance.now();
      if (earlyMs > 0) return earlyMs;
      const allowed = Math.min(
        this.#allowance(chunk.bytes.length),
        this.#cutAtBytes - this.deliveredBytes,
      );
      if (allowed < 1) return this.#waitForTokensMs(chunk.bytes.length);
      this.#deliver(sink, chunk, allowed);
      if (this.#stopped) return undefined;
    }
    return undefined;
  }

  #deliver(sink: Socket, chunk: Chunk, allowed: number): void {
    let bytes = chunk.bytes;
    if (allowed < bytes.length) {
      chunk.bytes = bytes.subarray(allowed);
      bytes = bytes.subarray(0, allowed);
    } else {
      this.#queue[this.#head] = undefined as never; // lets the bytes go before the compaction below
      this.#head++;
      if (this.#head === this.#queue.length || this.#head > 1024) {
        this.#queue = this.#queue.slice(this.#head);
        this.#head = 0;
      }
    }
    this.#queuedBytes -= bytes.length;
    this.#tokens -= bytes.length;
    this.deliveredBytes += bytes.length;
    this.#sinkFull = !sink.write(bytes);
    this.#onDelivered(bytes.length);
    if (!this.#stopped && this.deliveredBytes >= this.#cutAtBytes) this.#onCutPoint();
  }

  #deliverEnd(sink: Socket): number | undefined {
    if (!this.#sourceEnded || this.#endSent) return undefined;
    const earlyMs = this.#lastDueMs - performance.now();
    if (earlyMs > 0) return earlyMs;
    this.#endSent = true;
    sink.end();
    return undefined;
  }

  /** A token bucket of 50 ms: small enough to look like a slow line, large enough for a 1 ms timer. */
  #allowance(wanted: number): number {
    const rate = this.#faults.bytesPerSecond;
    if (rate === Infinity) return wanted;
    const nowMs = performance.now();
    this.#tokens = Math.min(
      this.#tokens + ((nowMs - this.#tokensAtMs) * rate) / 1000,
      this.#bucketBytes(),
    );
    this.#tokensAtMs = nowMs;
    return Math.min(wanted, Math.floor(this.#tokens));
  }

  #bucketBytes(): number {
    return Math.max(1, this.#faults.bytesPerSecond / 20);
  }

  #waitForTokensMs(wanted: number): number {
    const target = Math.min(wanted, Math.max(1, this.#bucketBytes() / 2));
    return ((target - this.#tokens) * 1000) / this.#faults.bytesPerSecond;
  }
}
