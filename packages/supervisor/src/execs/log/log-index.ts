// log-index.ts: what an output log holds: the oldest blocks in its file, the newer ones in memory.
import type { OutputStream } from "../exec-client.ts";
import { Deque } from "./deque.ts";
import { BLOCK_WEIGHT, LogBlock, RUN_WEIGHT } from "./log-block.ts";
import type { Mark, Offsets } from "./log-block.ts";
import type { LogBodies } from "./log-bodies.ts";

/** Blocks that were written to the file as one. */
export interface FiledBlock {
  readonly is: "filed";
  readonly start: Mark;
  readonly end: Mark;
  /** Where it is in the file, in bytes, and how many it takes there. */
  readonly position: number;
  readonly bytes: number;
  /** How many of its `bytes`, four each, say which stream the others belong to. */
  readonly runs: number;
}

/** Knows no file, no follower and no limit: only what is there. */
export class LogIndex {
  readonly #blockBytes: number;
  readonly #bodies: LogBodies;
  readonly #filed = new Deque<FiledBlock>();
  readonly #held = new Deque<LogBlock>();
  /** The last block, while it takes more. */
  #open: LogBlock | undefined;
  #end: Mark = { stdout: 0, stderr: 0, weight: 0 };

  /** @param blockBytes what a block holds at most. */
  constructor({ blockBytes, bodies }: { blockBytes: number; bodies: LogBodies }) {
    this.#blockBytes = blockBytes;
    this.#bodies = bodies;
  }

  /** The first byte of each stream that is still there. */
  get first(): Mark {
    return this.#filed.first?.start ?? this.#firstHeld;
  }

  get end(): Mark {
    return this.#end;
  }

  /** The weight of everything, and of what is in memory. */
  get retainedBytes(): number {
    return this.#end.weight - this.first.weight;
  }

  get memoryBytes(): number {
    return this.#end.weight - this.#firstHeld.weight;
  }

  get oldest(): FiledBlock | LogBlock | undefined {
    return this.#filed.first ?? this.#held.first;
  }

  /** Where the oldest block in the file begins there. */
  get oldestPosition(): number | undefined {
    return this.#filed.first?.position;
  }

  /** Takes a copy. */
  append(stream: OutputStream, chunk: Buffer): void {
    for (let from = 0; from < chunk.length; from += this.#blockBytes) {
      const part = chunk.subarray(from, from + this.#blockBytes);
      this.#roomFor(part.length).copy(stream, part);
    }
  }

  /** The first block with a byte at or beyond one of these offsets. */
  find(wanted: Offsets): FiledBlock | LogBlock | undefined {
    const hasMore = ({ end }: { end: Mark }) =>
      end.stdout > wanted.stdout || end.stderr > wanted.stderr;
    return this.#filed.find(hasMore) ?? this.#held.find(hasMore);
  }

  dropOldest(): void {
    if (this.#filed.shift() !== undefined) return;
    const dropped = this.#held.shift();
    if (dropped === this.#open) this.#open = undefined;
    dropped?.release();
  }

  clear(): void {
    this.#filed.clear();
    for (const block of this.#held) block.release();
    this.#held.clear();
    this.#open = undefined;
  }

  /** The oldest blocks in memory, as many as make one block of the file: at least one. */
  oldestHeld(): LogBlock[] {
    const blocks: LogBlock[] = [];
    let weight = 0;
    for (const block of this.#held) {
      weight += block.weight;
      if (blocks.length > 0 && weight > this.#blockBytes + BLOCK_WEIGHT) break;
      if (block === this.#open) this.#seal();
      blocks.push(block);
    }
    return blocks;
  }

  /** The file has these blocks now, which were the oldest in memory, unless they were dropped. */
  moveToFile(blocks: readonly LogBlock[], place: Pick<FiledBlock, "position" | "bytes">): void {
    const [first] = blocks;
    if (first === undefined || this.#held.first !== first) return;
    for (const block of blocks) {
      this.#held.shift();
      block.release();
    }
    const runs = blocks.reduce((sum, block) => sum + block.runs.length, 0);
    this.#filed.push({ is: "filed", start: first.start, end: blocks.at(-1)!.end, runs, ...place });
  }

  get #firstHeld(): Mark {
    return this.#held.first?.start ?? this.#end;
  }

  #roomFor(bytes: number): LogBlock {
    const open = this.#open;
    const room = open ? this.#blockBytes + BLOCK_WEIGHT - open.weight : 0;
    return open && bytes + RUN_WEIGHT <= room ? open : this.#begin();
  }

  #begin(): LogBlock {
    this.#seal();
    this.#open = new LogBlock(this.#end, this.#bodies);
    this.#end = this.#open.end; // and moves with it
    this.#held.push(this.#open);
    return this.#open;
  }

  #seal(): void {
    this.#open?.seal();
    this.#open = undefined;
  }
}
