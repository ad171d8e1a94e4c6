// stdin-feed.ts: the input of a durable exec, taken by absolute offset, so that what is sent again after
// a break is taken once.
import { PassThrough } from "node:stream";
import type { Readable } from "node:stream";
import { BelayError } from "@belay/protocol";
import { untilAbort } from "@belay/relay-core";

export interface StdinPiece {
  readonly offset: number;
  readonly data: Uint8Array;
  /** The input ends after the data. */
  readonly end: boolean;
}

/** How far the input has been taken; once `closed`, what still comes is dropped. */
export interface StdinTaken {
  readonly offset: number;
  readonly closed: boolean;
}

export class StdinFeed {
  readonly #stream: PassThrough;
  readonly #isClosed: () => boolean;
  #offset = 0;
  #ended = false;
  #room: PromiseWithResolvers<void> | undefined;

  /**
   * @param bufferBytes taken ahead of the process; beyond it, writers wait.
   * @param isClosed whether the process reads no more.
   */
  constructor({ bufferBytes, isClosed }: { bufferBytes: number; isClosed: () => boolean }) {
    this.#stream = new PassThrough({
      writableHighWaterMark: bufferBytes,
      readableHighWaterMark: 0,
    });
    this.#isClosed = isClosed;
    this.#stream.on("drain", () => this.wake());
  }

  /** What the process is to read. */
  get readable(): Readable {
    return this.#stream;
  }

  /** Up to here it has been taken. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether its end has come. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Takes what is new of the piece, as soon as there is room.
   * @throws BelayError `offset_out_of_range` for a gap; the signal's reason.
   */
  async write(piece: StdinPiece, { signal }: { signal: AbortSignal }): Promise<StdinTaken> {
    while (!this.#ended && !this.#isClosed()) {
      if (piece.offset > this.#offset) {
        const message = `input has been taken up to ${this.#offset}; it goes on there`;
        throw new BelayError("offset_out_of_range", message);
      }
      // Asked for anew after each wait: another channel may have brought the same bytes.
      const fresh = piece.data.subarray(this.#offset - piece.offset);
      if (fresh.byteLength > 0 && this.#stream.writableNeedDrain) {
        await this.#hasRoom(signal);
        continue;
      }
      if (fresh.byteLength > 0) {
        this.#offset += fresh.byteLength;
        this.#stream.write(fresh);
      }
      if (piece.end) this.end();
      break;
    }
    return { offset: this.#offset, closed: this.#ended || this.#isClosed() };
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    this.#stream.end();
    this.wake();
  }

  /** Lets those who wait for room look again. */
  wake(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  async #hasRoom(signal: AbortSignal): Promise<void> {
    this.#room ??= Promise.withResolvers();
    await untilAbort(this.#room.promise, signal);
  }
}
