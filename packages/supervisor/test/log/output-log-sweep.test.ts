import { describe, expect, it } from "vitest";
import type { OutputStream } from "../../src/execs/exec-client.ts";
import type { LogCursor, LogPiece } from "../../src/execs/log/log-cursor.ts";
import type { OutputLog } from "../../src/execs/log/output-log.ts";
import { integerBetween, seededRandom, seeds } from "@belay/relay-core/testing";
import { FakeDisk } from "./fake-disk.ts";
import { budgetOf, isAsWritten, isPending, logOf, write } from "./scene.ts";

const STREAMS = ["stdout", "stderr"] as const;

/** A follower, and all that it may expect. */
class Follower {
  readonly cursor: LogCursor;
  readonly holdsLog: boolean;
  readonly next: Record<OutputStream, number>;
  /** What is gone already may be missing; of a holder, nothing else. */
  readonly #gone: Record<OutputStream, number>;
  #lastPlace = -1;

  constructor(log: OutputLog, next: Record<OutputStream, number>, holdsLog: boolean) {
    this.cursor = log.follow(next, { holdsLog });
    this.holdsLog = holdsLog;
    this.next = next;
    this.#gone = {
      stdout: log.range("stdout").firstOffset,
      stderr: log.range("stderr").firstOffset,
    };
  }

  /** Whether there was something. */
  async read(maxBytes: number, placeOf: PlaceOf): Promise<boolean> {
    const piece = await this.cursor.next(maxBytes);
    if (piece.is === "empty" || piece.is === "end") return false;
    const problem = this.#problemWith(piece, maxBytes, placeOf);
    if (problem !== undefined) throw new Error(`${problem}: ${JSON.stringify(piece)}`);
    const bytes = piece.is === "output" ? piece.data.length : piece.toOffset - piece.fromOffset;
    this.next[piece.stream] += bytes;
    return true;
  }

  #problemWith(piece: Something, maxBytes: number, placeOf: PlaceOf): string | undefined {
    const { stream } = piece;
    const from = piece.is === "output" ? piece.offset : piece.fromOffset;
    if (from !== this.next[stream]) return `starts not at ${this.next[stream]}`;
    if (piece.is === "dropped") {
      if (piece.toOffset <= from) return "drops nothing";
      const isTooMuch = piece.toOffset > this.#gone[stream];
      return this.holdsLog && isTooMuch ? "dropped under a holder" : undefined;
    }
    if (piece.data.length === 0 || piece.data.length > maxBytes) return "has a wrong length";
    if (!isAsWritten(stream, from, piece.data)) return "is not what was written";
    const place = placeOf(stream, from);
    if (place < this.#lastPlace) return "is out of order";
    this.#lastPlace = placeOf(stream, from + piece.data.length - 1);
    return undefined;
  }
}

type Something = Extract<LogPiece, { stream: OutputStream }>;

/** The place of a byte among all that were written. */
type PlaceOf = (stream: OutputStream, offset: number) => number;

class Order {
  readonly #appends: { stream: OutputStream; end: number; placeOfEnd: number }[] = [];
  #bytes = 0;

  add(stream: OutputStream, end: number, bytes: number): void {
    this.#bytes += bytes;
    this.#appends.push({ stream, end, placeOfEnd: this.#bytes });
  }

  readonly placeOf: PlaceOf = (stream, offset) => {
    const append = this.#appends.find((one) => one.stream === stream && one.end > offset)!;
    return append.placeOfEnd - (append.end - offset);
  };
}

const KiB = 1024;

async function sweep(seed: number, files: boolean): Promise<void> {
  const random = seededRandom(seed);
  const between = (least: number, most: number) => integerBetween(least, most, random);
  const chance = (share: number) => random() < share;

  const ticks = async () => {
    for (let i = between(0, 3); i > 0; i--) await new Promise(setImmediate);
  };
  const disk = new FakeDisk();
  disk.beforeRead = ticks;
  disk.beforeWrite = ticks;
  disk.part = (bytes) => (chance(0.2) ? between(1, bytes) : bytes);
  if (chance(0.2)) disk.freeBytes = between(0, 32 * KiB);

  const memoryBytes = between(1, 16) * KiB;
  const logBytes = between(1, 64) * KiB;
  const largest = chance(0.5) ? 300 : 6_000;
  const budget = budgetOf(Infinity, chance(0.2) ? between(0, 32 * KiB) : Infinity);
  using log = logOf({
    logBytes,
    memoryBytes,
    budget,
    spill: files ? disk : undefined,
    overflow: chance(0.5) ? "wait" : "drop_oldest",
  });

  const order = new Order();
  const followers: Follower[] = [];
  const waiting = new Set<OutputStream>();

  const append = (stream: OutputStream) => {
    if (waiting.has(stream)) return;
    const bytes = between(1, largest);
    const done = write(log, bytes, stream);
    order.add(stream, log.range(stream).endOffset, bytes);
    waiting.add(stream);
    void done.then(() => waiting.delete(stream));
  };
  const follow = () => {
    const anywhere = (stream: OutputStream) => between(0, log.range(stream).endOffset);
    const from = { stdout: anywhere("stdout"), stderr: anywhere("stderr") };
    followers.push(new Follower(log, from, chance(0.3)));
  };
  const step = async (): Promise<void> => {
    const follower = followers[between(0, followers.length - 1)];
    if (chance(0.5)) append(chance(0.7) ? "stdout" : "stderr");
    else if (chance(0.05) && followers.length < 4) follow();
    else if (chance(0.03) && follower) {
      follower.cursor[Symbol.dispose]();
      followers.splice(followers.indexOf(follower), 1);
    } else if (chance(0.2)) await ticks();
    else await follower?.read(between(1, 8_000), order.placeOf);
  };

  const inMemory = files ? Math.min(memoryBytes, logBytes) : logBytes;
  // A chunk of either stream beyond it, each with its blocks.
  const beyond = 2 * (largest + Math.ceil(largest / 128) * 72);
  for (let i = 0; i < 1_500; i++) {
    await step();
    expect(budget.memoryBytes).toBeLessThanOrEqual(inMemory + beyond);
  }

  // Followers that read all let the writer go on, whatever happened before.
  if (followers.length === 0) follow();
  for (let quiet = 0; quiet < 3;) {
    let hasRead = false;
    for (const follower of followers) {
      if (await follower.read(64 * KiB, order.placeOf)) hasRead = true;
    }
    await ticks();
    quiet = hasRead ? 0 : quiet + 1;
  }
  await isPending(Promise.resolve());
  expect([...waiting]).toEqual([]);
  log.end();
  for (const follower of followers) {
    while (await follower.read(64 * KiB, order.placeOf));
    expect(follower.next).toEqual({
      stdout: log.totals("stdout").bytes,
      stderr: log.totals("stderr").bytes,
    });
  }
  for (const stream of STREAMS) {
    expect(log.range(stream).endOffset).toBe(log.totals(stream).bytes);
  }
  log.close();
  await isPending(Promise.resolve());
  expect(disk.openFiles).toBe(0);
  expect(budget).toMatchObject({ memoryBytes: 0, fileBytes: 0 });
}

describe("any interleaving of writing, following, reading and leaving", () => {
  it.each(seeds(30))("holds in memory (seed %i)", async (seed) => {
    await expect(sweep(seed, false)).resolves.toBeUndefined();
  });

  it.each(seeds(60))("holds with a file (seed %i)", async (seed) => {
    await expect(sweep(seed, true)).resolves.toBeUndefined();
  });
});
