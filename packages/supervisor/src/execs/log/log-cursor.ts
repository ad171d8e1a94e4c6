// log-cursor.ts: one follower of an output log, which reads at its own pace.
import type { OutputStream } from "../exec-client.ts";
import { Wakeup } from "@belay/relay-core";
import { runBytes, runStream } from "./log-block.ts";
import type { LogBlock, Offsets } from "./log-block.ts";
import type { FiledBlock, LogIndex } from "./log-index.ts";

export type LogPiece =
  /** A piece of a stream; `offset` is its first byte. Never empty. */
  | {
      readonly is: "output";
      readonly stream: OutputStream;
      readonly offset: number;
      readonly data: Buffer;
    }
  /** The log no longer holds [fromOffset, toOffset) of the stream. */
  | {
      readonly is: "dropped";
      readonly stream: OutputStream;
      readonly fromOffset: number;
      readonly toOffset: number;
    }
  /** All that there is was read: wait for `changed`. */
  | { readonly is: "empty" }
  /** All was read, and no more comes; or the log, or this cursor, was closed. */
  | { readonly is: "end" };

export interface LogCursor extends Disposable {
  /** Notified when there may be more to read: after an append, the end, the closing. */
  readonly changed: Wakeup;
  /**
   * The next piece, in the order in which it was written, of at most `maxBytes`; its data is there until
   * the next call. A promise only where the log's file has to be read; one call at a time. Never rejects.
   */
  next(maxBytes: number): LogPiece | Promise<LogPiece>;
}

/** The log, as a cursor sees it. */
export interface FollowedLog {
  readonly index: LogIndex;
  /** - `ended`: no more output comes. - `closed`: there is nothing to read any more. */
  readonly state: "open" | "ended" | "closed";
  /** Undefined where the file could not be read. Checks nothing else. */
  readFile(block: FiledBlock): Promise<LogBlock | undefined>;
  /** A cursor needs less than it did, or has gone. */
  onCursorMoved(): void;
  leave(cursor: BlockCursor): void;
}

const EMPTY = { is: "empty" } as const satisfies LogPiece;
const END = { is: "end" } as const satisfies LogPiece;
const STREAMS = ["stdout", "stderr"] as const;

export class BlockCursor implements LogCursor {
  readonly changed = new Wakeup();
  /** Whether the log waits for this cursor, however far others are. */
  readonly holdsLog: boolean;
  readonly #log: FollowedLog;
  /** The next byte of each stream that the reader gets. */
  readonly #wanted: { stdout: number; stderr: number };
  /** What came before is no longer needed. */
  #neededFrom: number;
  /** Before this, the log's file could not be read. */
  #readableFrom: Offsets = { stdout: 0, stderr: 0 };
  #place: Place | undefined;
  #closed = false;

  constructor(log: FollowedLog, from: Offsets, { holdsLog }: { holdsLog: boolean }) {
    this.#log = log;
    this.holdsLog = holdsLog;
    this.#wanted = { stdout: from.stdout, stderr: from.stderr };
    this.#neededFrom = (log.index.find(from)?.start ?? log.index.end).weight;
  }

  /** The log's weight before the block that is being read: all of that was read. */
  get neededFrom(): number {
    return this.#neededFrom;
  }

  next(maxBytes: number): LogPiece | Promise<LogPiece> {
    for (;;) {
      if (this.#closed || this.#log.state === "closed") return END;
      const piece = this.#nextDropped() ?? this.#nextOutput(maxBytes);
      if (piece !== undefined) return piece;
      const block = this.#log.index.find(this.#wanted);
      if (block === undefined) return this.#log.state === "open" ? EMPTY : END;
      if (block.is === "filed") return this.#readFiled(block, maxBytes);
      this.#enter(block);
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#place?.block.unpin();
    this.#place = undefined;
    this.#log.leave(this);
    this.changed.notify();
  }

  async #readFiled(filed: FiledBlock, maxBytes: number): Promise<LogPiece> {
    const block = await this.#log.readFile(filed);
    // Dropped while it was read: others may have been written over it, before the read or after it.
    const isThere = filed.start.weight >= this.#log.index.first.weight;
    if (block === undefined) this.#readableFrom = filed.end;
    else if (isThere && !this.#closed) this.#enter(block);
    return this.next(maxBytes);
  }

  #enter(block: LogBlock): void {
    const { stdout, stderr } = block.start;
    block.pin();
    this.#place?.block.unpin();
    this.#place = { block, run: 0, inRun: 0, inBody: 0, at: { stdout, stderr } };
    this.#neededFrom = block.start.weight;
    this.#log.onCursorMoved();
  }

  #nextDropped(): LogPiece | undefined {
    const { first } = this.#log.index;
    for (const stream of STREAMS) {
      const fromOffset = this.#wanted[stream];
      const toOffset = Math.max(first[stream], this.#readableFrom[stream]);
      if (fromOffset >= toOffset) continue;
      this.#wanted[stream] = toOffset;
      return { is: "dropped", stream, fromOffset, toOffset };
    }
    return undefined;
  }

  /** Undefined when the block has nothing more for us, now: its last run may still grow. */
  #nextOutput(maxBytes: number): LogPiece | undefined {
    const place = this.#place;
    if (place === undefined) return undefined;
    const { runs, body } = place.block;
    for (;;) {
      const run = runs[place.run];
      if (run === undefined) return undefined;
      const left = runBytes(run) - place.inRun;
      if (left === 0) {
        if (place.run + 1 === runs.length) return undefined;
        place.run++;
        place.inRun = 0;
        continue;
      }
      const stream = runStream(run);
      const offset = place.at[stream];
      const unwanted = Math.min(left, this.#wanted[stream] - offset);
      if (unwanted > 0) {
        advance(place, stream, unwanted);
        continue;
      }
      const bytes = Math.min(left, maxBytes);
      const data = body.subarray(place.inBody, place.inBody + bytes);
      advance(place, stream, bytes);
      this.#wanted[stream] = offset + bytes;
      return { is: "output", stream, offset, data };
    }
  }
}

/** The next byte that is looked at. */
interface Place {
  readonly block: LogBlock;
  run: number;
  inRun: number;
  inBody: number;
  readonly at: { stdout: number; stderr: number };
}

function advance(place: Place, stream: OutputStream, bytes: number): void {
  place.inRun += bytes;
  place.inBody += bytes;
  place.at[stream] += bytes;
}
