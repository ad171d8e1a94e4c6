// relay-pipe.ts: a relay seen from inside a program: a duplex of bytes on one side (what SSH speaks
// over), frames on the other (what the RPC carries).
import { Duplex } from "node:stream";

export interface RelayPipeLimits {
  /** Largest frame that `nextFrame` gives, in bytes. Default 65_536. */
  readonly maxFrameBytes: number;
  /** Bytes that wait in each direction before backpressure sets in; of what is written, twice as
   * many: here, and in the stream's own buffer. Default 262_144. */
  readonly bufferBytes: number;
}

export const defaultRelayPipeLimits: RelayPipeLimits = {
  maxFrameBytes: 64 * 1024,
  bufferBytes: 256 * 1024,
};

/**
 * - `receive()` and `receiveEnd()` feed what the peer sent into the readable side.
 * - `nextFrame()` takes what was written, small writes joined, in order.
 * - Half-close: `end()` makes `nextFrame()` give `undefined` after the last byte, and reading goes on.
 * - `destroy(error)` ends both sides; bytes not yet taken are dropped, and the error is `errored`.
 */
export class RelayPipe extends Duplex {
  readonly #maxFrameBytes: number;
  readonly #bufferBytes: number;
  /** Written, not yet taken: whole chunks, of the first perhaps only the rest. */
  #written: Buffer[] = [];
  #writtenBytes = 0;
  #writeDone: ((error?: Error | null) => void) | undefined;
  #finalDone: (() => void) | undefined;
  #allTaken = false;
  #frameReader: (() => void) | undefined;
  #readerHasRoom: (() => void) | undefined;
  #bytesReceived = 0;

  constructor(limits: RelayPipeLimits = defaultRelayPipeLimits) {
    super({
      readableHighWaterMark: limits.bufferBytes,
      writableHighWaterMark: limits.bufferBytes,
      allowHalfOpen: true,
    });
    this.#maxFrameBytes = limits.maxFrameBytes;
    this.#bufferBytes = limits.bufferBytes;
    // A relay that breaks is reported by whoever owns it; without a listener it would end the process.
    this.on("error", () => {});
  }

  /** Bytes that came from the peer: the sign of life for a keepalive above this relay. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Whether the writer came to its end, and `nextFrame` has given all: false of a broken pipe. */
  get endTaken(): boolean {
    return this.#allTaken;
  }

  /** Hands bytes of the peer to the reader; resolves when there is room for more, or nobody left. */
  async receive(data: Uint8Array): Promise<void> {
    this.#bytesReceived += data.byteLength;
    if (this.destroyed || data.byteLength === 0) return;
    const hasRoom = this.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    if (hasRoom || this.destroyed) return; // data after the end destroys the stream
    await new Promise<void>((resolve) => {
      this.#readerHasRoom = resolve;
    });
  }

  /** The peer sends no more (half-close). */
  receiveEnd(): void {
    if (!this.destroyed) this.push(null);
  }

  /** The next bytes for the peer; `undefined` when there will be none. One caller at a time. */
  async nextFrame(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.destroyed) return undefined;
      if (this.#written.length > 0) return this.#takeFrame();
      if (this.#finalDone) {
        this.#allTaken = true;
        this.#finalDone();
        this.#finalDone = undefined;
      }
      if (this.#allTaken) return undefined;
      await new Promise<void>((resolve) => {
        this.#frameReader = resolve;
      });
      this.#frameReader = undefined;
    }
  }

  #takeFrame(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < this.#written.length) {
      const next = this.#written[count]!.byteLength;
      if (count > 0 && bytes + next > this.#maxFrameBytes) break;
      bytes += next;
      count += 1;
    }
    const taken = this.#written.splice(0, count);
    let frame = taken.length === 1 ? taken[0]! : Buffer.concat(taken, bytes);
    if (frame.byteLength > this.#maxFrameBytes) {
      this.#written.unshift(frame.subarray(this.#maxFrameBytes));
      frame = frame.subarray(0, this.#maxFrameBytes);
    }
    this.#writtenBytes -= frame.byteLength;
    if (this.#writtenBytes < this.#bufferBytes) {
      const done = this.#writeDone;
      this.#writeDone = undefined;
      done?.();
    }
    return frame;
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    if (chunk.byteLength === 0) return done();
    this.#written.push(chunk);
    this.#writtenBytes += chunk.byteLength;
    this.#frameReader?.();
    if (this.#writtenBytes < this.#bufferBytes) done();
    else this.#writeDone = done;
  }

  override _final(done: () => void): void {
    this.#finalDone = done;
    this.#frameReader?.();
  }

  override _read(): void {
    this.#readerHasRoom?.();
    this.#readerHasRoom = undefined;
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#written = [];
    this.#writeDone?.(error);
    this.#frameReader?.();
    this.#readerHasRoom?.();
    done(error);
  }
}
