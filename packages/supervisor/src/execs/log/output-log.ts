// output-log.ts: all that an exec wrote, for whoever follows it, now or later, in bounded memory.
import { createHash } from "node:crypto";
import { BelayError } from "@belay/protocol";
import type { OutputStream } from "../exec-client.ts";
import { BLOCK_WEIGHT, RUN_WEIGHT } from "./log-block.ts";
import type { LogBlock, Offsets } from "./log-block.ts";
import type { LogBudget, LogShare } from "./log-budget.ts";
import { BlockCursor } from "./log-cursor.ts";
import type { FollowedLog, LogCursor } from "./log-cursor.ts";
import { LogIndex } from "./log-index.ts";
import type { FiledBlock } from "./log-index.ts";
import { SpillFile } from "./spill-file.ts";
import type { FilePlace, SpillDirectory } from "./spill-file.ts";

export interface OutputLogOptions {
  /** All retained output, in bytes, with what it takes to keep it in order: 64 for each block of up
   * to 64 KiB, 8 for each change of stream. At least 1 KiB. */
  readonly logBytes: number;
  /** Where it makes its file when that is more than `memoryBytes`. Undefined: it has none, and
   * `logBytes` is memory. */
  readonly spill: SpillDirectory | undefined;
  /** Of this log in memory; without effect where it has no file. At least 1 KiB. */
  readonly memoryBytes: number;
  /** Shared with all other logs. */
  readonly budget: LogBudget;
  /** When it is full and nobody follows: the writer waits, or the oldest output is dropped. */
  readonly overflow: "wait" | "drop_oldest";
  /** Called once, when the file failed: the log is memory alone from then on. */
  readonly onSpillFailed?: (error: unknown) => void;
}

const MIN_BYTES = 1024;
const BLOCK_BYTES = 64 * 1024;

const DONE = Promise.resolve();

/**
 * Followers are cursors and never in the writer's path: an append stores, and wakes them. Whoever
 * appends waits when the log is full and its oldest output is still needed:
 *
 * - by the slowest of the cursors that hold the log, if there are such;
 * - else by the cursor that has read most: a slow or dead one delays nobody, and is told what it
 *   missed;
 * - else, without any cursor, by `overflow`.
 *
 * Half of the room is for what such a cursor has read already, so that a follower whose connection
 * broke finds again what was on its way.
 */
export class OutputLog implements Disposable {
  readonly #options: OutputLogOptions;
  #logBytes: number;
  #memoryBytes: number;
  #overflow: OutputLogOptions["overflow"];
  readonly #index: LogIndex;
  /** The most that one block weighs. */
  readonly #blockWeight: number;
  readonly #share: LogShare;
  readonly #file: SpillFile | undefined;
  #spill: "idle" | "writing" | "none";
  readonly #cursors = new Set<BlockCursor>();
  readonly #hashes = { stdout: createHash("sha256"), stderr: createHash("sha256") };
  #state: "open" | "ended" | "closed" = "open";
  /** What the writer waits for. */
  #room: PromiseWithResolvers<void> | undefined;

  constructor(options: OutputLogOptions) {
    this.#options = options;
    this.#overflow = options.overflow;
    this.#logBytes = Math.max(options.logBytes, MIN_BYTES);
    const memoryBytes = options.spill ? options.memoryBytes : this.#logBytes;
    this.#memoryBytes = Math.min(Math.max(memoryBytes, MIN_BYTES), this.#logBytes);
    const blockBytes = Math.min(BLOCK_BYTES, this.#memoryBytes >>> 3);
    this.#blockWeight = blockBytes + BLOCK_WEIGHT + RUN_WEIGHT;
    this.#index = new LogIndex({ blockBytes, bodies: options.budget.bodies });
    this.#share = options.budget.share(() => this.#settle());
    this.#spill = options.spill ? "idle" : "none";
    // Two blocks more: what a block that does not fit before the end of the file leaves free there.
    const maxBytes = this.#logBytes + 2 * this.#blockWeight;
    this.#file = options.spill && new SpillFile(options.spill, { maxBytes, share: this.#share });
  }

  /**
   * Stores a copy of the chunk, and resolves when the writer may go on.
   * Never rejects. Drops what comes after the end.
   */
  append(stream: OutputStream, chunk: Buffer): Promise<void> {
    if (this.#state !== "open" || chunk.length === 0) return DONE;
    this.#hashes[stream].update(chunk);
    this.#index.append(stream, chunk);
    for (const cursor of this.#cursors) cursor.changed.notify();
    this.#settle();
    return this.#room?.promise ?? DONE;
  }

  /** No more output comes: cursors end after the last byte. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    for (const cursor of this.#cursors) cursor.changed.notify();
    this.#settle();
  }

  /** What is retained: [firstOffset, endOffset). */
  range(stream: OutputStream): { firstOffset: number; endOffset: number } {
    const { first, end } = this.#index;
    return { firstOffset: first[stream], endOffset: end[stream] };
  }

  /** Bytes and SHA-256 of all that was appended, retained or not; final after the end. */
  totals(stream: OutputStream): { bytes: number; sha256: Buffer } {
    return { bytes: this.#index.end[stream], sha256: this.#hashes[stream].copy().digest() };
  }

  /**
   * A follower that starts at these offsets. Where one of them is no longer retained, it first says
   * so. Dispose of it, or the writer may wait for it for ever.
   * @param options.holdsLog the writer waits for this follower, however far others are.
   * @throws BelayError `offset_out_of_range` when an offset is beyond the end.
   */
  follow(from: Offsets, { holdsLog }: { holdsLog: boolean }): LogCursor {
    for (const stream of ["stdout", "stderr"] as const) {
      const end = this.#index.end[stream];
      if (from[stream] <= end) continue;
      const message = `${stream} offset ${from[stream]} is beyond the end of the log, ${end}`;
      const outcome = this.#state === "open" ? "running" : "completed";
      throw new BelayError("offset_out_of_range", message, { outcome });
    }
    const cursor = new BlockCursor(this.#followed, from, { holdsLog });
    this.#cursors.add(cursor);
    return cursor;
  }

  /**
   * The process has ended or is being ended, and what is still on its way may take `extraBytes` more.
   * From now on a writer waits for followers only: without any, the oldest output is dropped.
   */
  relax({ extraBytes }: { extraBytes: number }): void {
    this.#logBytes += extraBytes;
    this.#memoryBytes += extraBytes;
    this.#overflow = "drop_oldest";
    this.#settle();
  }

  /** Forgets the bytes, which were delivered: ranges are empty from now on, totals stay. */
  discard(): void {
    this.#index.clear();
    this.#spill = "none";
    this.#file?.[Symbol.dispose]();
    this.#settle();
  }

  /** Frees memory and file. Cursors end at once. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.discard();
    for (const cursor of this.#cursors) cursor.changed.notify();
    this.#cursors.clear();
    this.#share[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #followed: FollowedLog = ((log: OutputLog) => ({
    get index() {
      return log.#index;
    },
    get state() {
      return log.#state;
    },
    readFile: (block) => log.#readFile(block),
    onCursorMoved: () => log.#room && log.#settle(),
    leave: (cursor) => {
      log.#cursors.delete(cursor);
      log.#settle();
    },
  }))(this);

  /** Brings the log within its bounds as far as it goes, and lets the writer go on if that is far
   * enough. */
  #settle(): void {
    if (this.#state === "closed") return this.#letWriterGoOn();
    const index = this.#index;
    this.#share.holdMemory(index.memoryBytes);
    while (index.retainedBytes > this.#logBytes && this.#dropOldest(this.#logBytes));
    const memoryBytes = this.#memoryLimit();
    while (index.memoryBytes > memoryBytes && this.#spill !== "writing") {
      if (!this.#startSpill() && !this.#dropOldest(memoryBytes)) break;
    }
    this.#share.holdMemory(index.memoryBytes);

    const isFull = index.retainedBytes > this.#logBytes || index.memoryBytes > this.#memoryLimit();
    if (isFull && this.#state === "open") this.#room ??= Promise.withResolvers();
    else this.#letWriterGoOn();
  }

  #letWriterGoOn(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  #memoryLimit(): number {
    return this.#share.memoryLimit(this.#memoryBytes);
  }

  /** False, and nothing happened, when the oldest block is needed. */
  #dropOldest(limitBytes: number): boolean {
    const { oldest } = this.#index;
    if (oldest === undefined || oldest.end.weight > this.#droppableTo(limitBytes)) return false;
    this.#index.dropOldest();
    return true;
  }

  #droppableTo(limitBytes: number): number {
    if (this.#cursors.size === 0) return this.#overflow === "wait" ? 0 : Infinity;
    let slowestHolder = Infinity;
    let fastest = 0;
    for (const { holdsLog, neededFrom } of this.#cursors) {
      if (holdsLog) slowestHolder = Math.min(slowestHolder, neededFrom);
      fastest = Math.max(fastest, neededFrom);
    }
    // Drops go by blocks: without the two, what was read could fill the log, which waits for ever.
    const alreadyRead = Math.max(limitBytes / 2 - 2 * this.#blockWeight, 0);
    return (slowestHolder === Infinity ? fastest : slowestHolder) - alreadyRead;
  }

  /** False, and nothing happened, when there is no file, or no room in it. */
  #startSpill(): boolean {
    const file = this.#file;
    if (file === undefined || this.#spill !== "idle") return false;
    const blocks = this.#index.oldestHeld();
    const place = file.place(blocks, this.#index.oldestPosition);
    if (place === undefined) return false;
    this.#spill = "writing";
    void this.#writeFile(file, blocks, place);
    return true;
  }

  /** Never rejects. */
  async #writeFile(file: SpillFile, blocks: readonly LogBlock[], place: FilePlace): Promise<void> {
    try {
      await file.write(blocks, place);
    } catch (error) {
      return this.#onFileFailed(error);
    }
    if (this.#spill !== "writing") return; // discarded meanwhile, or it failed to be read
    this.#index.moveToFile(blocks, place);
    this.#spill = "idle";
    // On to the half, so that the disk is not in the way of each chunk that comes.
    if (this.#index.memoryBytes > this.#memoryLimit() / 2) this.#startSpill();
    this.#settle();
  }

  async #readFile(block: FiledBlock): Promise<LogBlock | undefined> {
    try {
      return await this.#file!.read(block);
    } catch (error) {
      this.#onFileFailed(error);
      return undefined;
    }
  }

  #onFileFailed(error: unknown): void {
    if (this.#spill === "none") return;
    this.#spill = "none";
    this.#options.onSpillFailed?.(error);
    this.#settle();
  }
}
