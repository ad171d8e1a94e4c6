// log-block.ts: a stretch of an output log: bytes of both streams in the order in which they came.
import type { OutputStream } from "../exec-client.ts";
import { BODY_BYTES } from "./log-bodies.ts";
import type { LogBodies } from "./log-bodies.ts";

/** A byte of each stream. */
export interface Offsets {
  readonly stdout: number;
  readonly stderr: number;
}

/** A place in the log: how many bytes of each stream come before it, and what all of that weighs. */
export interface Mark extends Offsets {
  /** In bytes: the output itself, and what it takes to keep it in order. */
  readonly weight: number;
}

/** What a block weighs beside its bytes, and what each run of one stream in it does. */
export const BLOCK_WEIGHT = 64;
export const RUN_WEIGHT = 8;

const FIRST_GROWTH_BYTES = 256;
/** A block that grows beyond this takes a body of the usual size. */
const OWN_BODY_BYTES = 4 * 1024;

const EMPTY = Buffer.alloc(0);

/** A block in memory: of the log, or read back from its file. */
export class LogBlock {
  readonly is = "held";
  readonly start: Mark;
  readonly #end: { stdout: number; stderr: number; weight: number };
  /** Each is `length * 2`, and 1 more for stderr: two words of memory for each change of stream. */
  readonly #runs: number[] = [];
  readonly #bodies: LogBodies | undefined;
  #body: Buffer = EMPTY;
  #length = 0;
  /** Those who read it now: its bytes must stay as they are. */
  #pins = 0;
  #isReleased = false;

  /** @param bodies where a large body comes from, and goes when nobody needs the block any more. */
  constructor(start: Mark, bodies?: LogBodies) {
    this.start = start;
    this.#bodies = bodies;
    this.#end = { ...start, weight: start.weight + BLOCK_WEIGHT };
  }

  /** @param runs as in `runs`. @param body all their bytes; belongs to the block. */
  static of(start: Mark, runs: Iterable<number>, body: Buffer): LogBlock {
    const block = new LogBlock(start);
    for (const run of runs) block.#count(runStream(run), runBytes(run));
    block.#body = body;
    return block;
  }

  get end(): Mark {
    return this.#end;
  }

  get weight(): number {
    return this.#end.weight - this.start.weight;
  }

  get runs(): readonly number[] {
    return this.#runs;
  }

  /** The bytes of all runs, one after the other. */
  get body(): Buffer {
    return this.#body.subarray(0, this.#length);
  }

  /** Adds a copy of the chunk. What was read from `body` before stays as it was. */
  copy(stream: OutputStream, chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#body.length) {
      // Exact at first, as many blocks get one chunk only; then by doubling, so that a process that
      // writes byte by byte costs no copy of everything for each.
      const grown = this.#length === 0 ? 0 : Math.max(FIRST_GROWTH_BYTES, this.#length * 2);
      const bytes = Math.max(needed, grown);
      const isLarge = bytes > OWN_BODY_BYTES && bytes <= BODY_BYTES;
      this.#moveTo(
        isLarge && this.#bodies ? this.#bodies.take() : Buffer.allocUnsafeSlow(bytes), // not from the pool, which others keep alive
      );
    }
    chunk.copy(this.#body, this.#length);
    this.#count(stream, chunk.length);
  }

  /** Nothing more is added: gives back what it had reserved. */
  seal(): void {
    if (this.#body.length - this.#length > this.#length >>> 2) {
      this.#moveTo(Buffer.allocUnsafeSlow(this.#length));
    }
  }

  /** Its bytes stay as they are until `unpin`. */
  pin(): void {
    this.#pins += 1;
  }

  unpin(): void {
    this.#pins -= 1;
    this.#giveBack();
  }

  /** The log does not hold it any more; those who have pinned it do. */
  release(): void {
    this.#isReleased = true;
    this.#giveBack();
  }

  #giveBack(): void {
    if (!this.#isReleased || this.#pins > 0) return;
    this.#bodies?.give(this.#body);
    this.#body = EMPTY;
    this.#length = 0;
  }

  /** While somebody reads the old body, it is left to them. */
  #moveTo(body: Buffer): void {
    const before = this.#body;
    before.copy(body, 0, 0, this.#length);
    this.#body = body;
    if (this.#pins === 0) this.#bodies?.give(before);
  }

  #count(stream: OutputStream, bytes: number): void {
    const last = this.#runs.length - 1;
    if (last >= 0 && runStream(this.#runs[last]!) === stream) {
      this.#runs[last]! += bytes * 2;
    } else {
      this.#runs.push(bytes * 2 + (stream === "stderr" ? 1 : 0));
      this.#end.weight += RUN_WEIGHT;
    }
    this.#length += bytes;
    this.#end[stream] += bytes;
    this.#end.weight += bytes;
  }
}

export function runStream(run: number): OutputStream {
  return run & 1 ? "stderr" : "stdout";
}

export function runBytes(run: number): number {
  return run >>> 1;
}
