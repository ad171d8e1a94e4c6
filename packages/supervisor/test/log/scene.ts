// scene.ts: output logs whose every byte is a function of its stream and offset, and readers that check it.
import { LogBudget } from "../../src/execs/log/log-budget.ts";
import type { LogCursor } from "../../src/execs/log/log-cursor.ts";
import { OutputLog } from "../../src/execs/log/output-log.ts";
import type { OutputLogOptions } from "../../src/execs/log/output-log.ts";
import type { OutputStream } from "../../src/execs/exec-client.ts";

export function budgetOf(memoryBytesInAll = Infinity, fileBytesInAll = Infinity): LogBudget {
  return new LogBudget({ memoryBytesInAll, fileBytesInAll });
}

export function logOf(options: Partial<OutputLogOptions> = {}): OutputLog {
  return new OutputLog({
    logBytes: 1024 * 1024,
    spill: undefined,
    memoryBytes: 1024 * 1024,
    budget: budgetOf(),
    overflow: "wait",
    ...options,
  });
}

/** Multiples of a prime to 2^32: no period that a test could fall into. */
export function byteAt(stream: OutputStream, offset: number): number {
  return Math.imul(offset + (stream === "stderr" ? 7 : 0), 2_654_435_761) >>> 24;
}

export function written(stream: OutputStream, offset: number, bytes: number): Buffer {
  const chunk = Buffer.allocUnsafeSlow(bytes);
  for (let i = 0; i < bytes; i++) chunk[i] = byteAt(stream, offset + i);
  return chunk;
}

export function isAsWritten(stream: OutputStream, offset: number, data: Buffer): boolean {
  return data.every((byte, i) => byte === byteAt(stream, offset + i));
}

/** All pieces up to the end, or to where nothing more is there yet, as text. */
export async function readAll(cursor: LogCursor, maxBytes = 64 * 1024): Promise<string[]> {
  const pieces: string[] = [];
  for (;;) {
    const piece = await cursor.next(maxBytes);
    if (piece.is === "end" || piece.is === "empty") return pieces;
    if (piece.is === "output") pieces.push(`${piece.stream} ${piece.offset} ${String(piece.data)}`);
    else pieces.push(`dropped ${piece.stream} ${piece.fromOffset}-${piece.toOffset}`);
  }
}

/** How much of each stream a follower got and missed by the end, or by where nothing more is there
 * yet. @throws when a byte is wrong, or not where the last piece ended. */
export async function outputOf(cursor: LogCursor, maxBytes = 64 * 1024) {
  const got = { stdout: 0, stderr: 0 };
  const missed = { stdout: 0, stderr: 0 };
  const next: Partial<Record<OutputStream, number>> = {};
  let longest = 0;
  for (;;) {
    const piece = await cursor.next(maxBytes);
    if (piece.is === "end" || piece.is === "empty")
      return { got, missed, next, longest, last: piece.is };
    const from = piece.is === "output" ? piece.offset : piece.fromOffset;
    const to = piece.is === "output" ? from + piece.data.length : piece.toOffset;
    if (from !== (next[piece.stream] ?? from))
      throw new Error(`${piece.stream} goes on at ${from}`);
    if (piece.is === "output" && !isAsWritten(piece.stream, from, piece.data)) {
      throw new Error(`${piece.stream} ${from}: not what was written`);
    }
    next[piece.stream] = to;
    (piece.is === "output" ? got : missed)[piece.stream] += to - from;
    longest = Math.max(longest, to - from);
  }
}

/** Whether the promise is still pending after all that could settle it by itself has run. */
export async function isPending(promise: Promise<void>): Promise<boolean> {
  let pending = true;
  void promise.then(() => (pending = false));
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  return pending;
}

/** Appends what comes next of the stream; resolves when the writer may go on. */
export function write(log: OutputLog, bytes: number, stream: OutputStream = "stdout") {
  return log.append(stream, written(stream, log.range(stream).endOffset, bytes));
}

/** Appends until the log is full, and says about the append that waits whether it still does. */
export async function fill(log: OutputLog, chunkBytes = 1_000): Promise<() => Promise<boolean>> {
  for (let i = 0; i < 10_000; i++) {
    const append = write(log, chunkBytes);
    if (await isPending(append)) return () => isPending(append);
  }
  throw new Error("the log is never full");
}
