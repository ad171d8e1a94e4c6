// exec-input.ts: what a client sends to its command: bytes, kept until the command's side has taken
// them, their end, and the newest size of the terminal.
import { untilAbort, Wakeup } from "@belay/relay-core";

/** A piece of an exec's input, which may be all of it. */
export interface InputPiece {
  /** Of data's first byte in the whole of the input. */
  readonly offset: number;
  readonly data: Uint8Array;
  /** The input ends after data. */
  readonly end: boolean;
}

export interface WindowSize {
  readonly cols: number;
  readonly rows: number;
}

export interface ExecInputOptions {
  /** What is there already, however much it is. */
  readonly first: Uint8Array;
  /** Of its first byte. Default 0. */
  readonly offset?: number;
  /** So many bytes are held; then whoever writes waits. */
  readonly maxBytes: number;
}

/** Up to so many bytes, pieces are joined: a keystroke by itself would take far more memory than it has
 * bytes. */
const JOINED_BYTES = 4 * 1024;

const NOTHING = new Uint8Array();

/** One task writes, one sends it on (send-input.ts). */
export class ExecInput {
  /** There is more to send, or it may be sent now. */
  readonly changed = new Wakeup();
  readonly #maxBytes: number;
  /** From `#heldFrom` on, which is at or before `#takenOffset`. */
  #held: Uint8Array[] = [];
  #heldFrom: number;
  #takenOffset: number;
  #endOffset: number;
  #ended = false;
  #closed = false;
  #size: WindowSize | undefined;
  #room: PromiseWithResolvers<void> | undefined;

  constructor({ first, offset = 0, maxBytes }: ExecInputOptions) {
    this.#maxBytes = maxBytes;
    this.#heldFrom = offset;
    this.#takenOffset = offset;
    this.#endOffset = offset;
    this.#append(first);
  }

  /** Input that is all there. @param options.end whether it ends after that. Default true. */
  static whole(
    data: Uint8Array,
    { offset = 0, end = true }: { offset?: number; end?: boolean } = {},
  ): ExecInput {
    const input = new ExecInput({ first: data, offset, maxBytes: 0 });
    if (end) input.end();
    return input;
  }

  /** Up to here it has been taken. */
  get takenOffset(): number {
    return this.#takenOffset;
  }

  /** Undefined before the first `resize()`. */
  get size(): WindowSize | undefined {
    return this.#size;
  }

  // What the client does.

  /** Takes all of the data as soon as there is room for some. Input that nobody wants is dropped. @throws the
   * signal's reason. */
  async write(data: Uint8Array, { signal }: { signal: AbortSignal }): Promise<void> {
    while (!this.#closed && this.#endOffset - this.#takenOffset >= this.#maxBytes) {
      this.#room ??= Promise.withResolvers();
      await untilAbort(this.#room.promise, signal);
    }
    if (this.#closed) return;
    this.#append(data);
    this.changed.notify();
  }

  /** Nothing comes after what was written. */
  end(): void {
    this.#ended = true;
    this.changed.notify();
  }

  resize(size: WindowSize): void {
    this.#size = size;
    this.changed.notify();
  }

  // What the command's side does.

  /** What comes at `offset`, or after what was taken; undefined while there is nothing, or when no more is wanted.
   * To be asked no more after the end. */
  piece(offset: number, maxBytes: number): InputPiece | undefined {
    if (this.#closed) return undefined;
    const from = Math.min(Math.max(offset, this.#takenOffset), this.#endOffset);
    let chunkFrom = this.#heldFrom;
    for (const chunk of this.#held) {
      const chunkEnd = chunkFrom + chunk.byteLength;
      if (from < chunkEnd) {
        const data = chunk.subarray(from - chunkFrom, from - chunkFrom + maxBytes);
        const end = this.#ended && from + data.byteLength === this.#endOffset;
        return { offset: from, data, end };
      }
      chunkFrom = chunkEnd;
    }
    return this.#ended ? { offset: from, data: NOTHING, end: true } : undefined;
  }

  /** What comes before the offset is needed no more. */
  taken(offset: number): void {
    this.#takenOffset = Math.max(this.#takenOffset, Math.min(offset, this.#endOffset));
    for (let first = this.#held[0]; first; first = this.#held[0]) {
      if (this.#heldFrom + first.byteLength > this.#takenOffset) break;
      this.#heldFrom += first.byteLength;
      this.#held.shift(); // few: see JOINED_BYTES
    }
    this.#wakeBoth();
  }

  /** The command reads no more: what is there, and what still comes, is dropped. */
  close(): void {
    this.#closed = true;
    this.#held = [];
    this.#wakeBoth();
  }

  #append(data: Uint8Array): void {
    if (data.byteLength === 0) return;
    const last = this.#held.at(-1);
    if (last && last.byteLength + data.byteLength <= JOINED_BYTES) {
      this.#held[this.#held.length - 1] = Buffer.concat([last, data]);
    } else {
      this.#held.push(data);
    }
    this.#endOffset += data.byteLength;
  }

  #wakeBoth(): void {
    this.#room?.resolve();
    this.#room = undefined;
    this.changed.notify();
  }
}
