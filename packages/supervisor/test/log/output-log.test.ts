import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import type { LogCursor } from "../../src/execs/log/log-cursor.ts";
import {
  budgetOf,
  fill,
  isAsWritten,
  isPending,
  logOf,
  outputOf,
  readAll,
  write,
  written,
} from "./scene.ts";

const START = { stdout: 0, stderr: 0 };
const plain = { holdsLog: false };
const holding = { holdsLog: true };

async function readSome(cursor: LogCursor, bytes: number): Promise<void> {
  for (let left = bytes; left > 0;) {
    const piece = await cursor.next(left);
    if (piece.is !== "output") throw new Error(`${piece.is} with ${left} bytes to go`);
    left -= piece.data.length;
  }
}

describe("a follower", () => {
  it("reads both streams in the order in which they were written", async () => {
    using log = logOf();
    const cursor = log.follow(START, plain);
    expect(cursor.next(100)).toEqual({ is: "empty" });
    await log.append("stdout", Buffer.from("one"));
    await log.append("stderr", Buffer.from("two"));
    await log.append("stdout", Buffer.from("three"));
    expect(await readAll(cursor)).toEqual(["stdout 0 one", "stderr 0 two", "stdout 3 three"]);
    expect(cursor.next(100)).toEqual({ is: "empty" });
    log.end();
    expect(cursor.next(100)).toEqual({ is: "end" });
  });

  it("that comes after the end reads all of it", async () => {
    using log = logOf();
    await write(log, 300_000);
    await write(log, 10, "stderr");
    log.end();
    const { got, last } = await outputOf(log.follow(START, plain));
    expect({ got, last }).toEqual({ got: { stdout: 300_000, stderr: 10 }, last: "end" });
  });

  it("starts at its own offset of each stream", async () => {
    using log = logOf();
    for (const stream of ["stdout", "stderr", "stdout", "stderr"] as const) {
      await log.append(stream, Buffer.from("abc"));
    }
    const readFrom = (stdout: number, stderr: number) =>
      readAll(log.follow({ stdout, stderr }, plain));
    expect(await readFrom(4, 1)).toEqual(["stderr 1 bc", "stdout 4 bc", "stderr 3 abc"]);
    expect(await readFrom(6, 0)).toEqual(["stderr 0 abc", "stderr 3 abc"]);
    expect(await readFrom(6, 6)).toEqual([]);
  });

  it("may not start beyond the end", () => {
    using log = logOf();
    void log.append("stdout", Buffer.from("abc"));
    expect(() => log.follow({ stdout: 4, stderr: 0 }, plain)).toThrow(
      expect.objectContaining({ kind: "offset_out_of_range", outcome: "running" }),
    );
    log.end();
    expect(() => log.follow({ stdout: 0, stderr: 1 }, plain)).toThrow(
      expect.objectContaining({ kind: "offset_out_of_range", outcome: "completed" }),
    );
  });

  it("gets no more at once than it asks for", async () => {
    using log = logOf();
    await write(log, 100_000);
    expect((await outputOf(log.follow(START, plain), 1_000)).longest).toBe(1_000);
  });

  it("is woken by output, the end and the closing", async () => {
    using log = logOf();
    const cursor = log.follow(START, plain);
    const limits = { signal: new AbortController().signal, clock: systemClock, limitMs: Infinity };
    const change = async (after: () => unknown) => {
      const woken = cursor.changed.wait(limits);
      await after();
      return woken;
    };
    expect(await change(() => write(log, 1))).toBe(true);
    expect(await change(() => log.end())).toBe(true);
    expect(await change(() => log.close())).toBe(true);
  });

  it("ends when the log is closed, whatever it has not read", async () => {
    using log = logOf();
    const cursor = log.follow(START, plain);
    await write(log, 100);
    log.close();
    expect(cursor.next(100)).toEqual({ is: "end" });
    await write(log, 100);
    expect(log.range("stdout")).toEqual({ firstOffset: 100, endOffset: 100 });
  });

  it("keeps what it was given when more comes", async () => {
    using log = logOf();
    const cursor = log.follow(START, plain);
    const pieces: Buffer[] = [];
    for (let i = 0; i < 2_000; i++) {
      await write(log, 1);
      const piece = await cursor.next(10);
      if (piece.is === "output") pieces.push(piece.data);
    }
    expect(Buffer.concat(pieces)).toEqual(written("stdout", 0, 2_000));
  });
});

describe("a full log", () => {
  const logBytes = 64 * 1024;

  it("without a follower makes the writer wait, until one has read", async () => {
    using log = logOf({ logBytes, overflow: "wait" });
    const waits = await fill(log);
    expect(log.range("stdout").firstOffset).toBe(0);
    const cursor = log.follow(START, plain);
    expect(await waits()).toBe(true);
    await outputOf(cursor);
    expect(await waits()).toBe(false);
  });

  it("without a follower drops the oldest, where the exec wants that", async () => {
    using log = logOf({ logBytes, overflow: "drop_oldest" });
    for (let i = 0; i < 200; i++) await write(log, 1_000);
    const { firstOffset, endOffset } = log.range("stdout");
    expect(endOffset).toBe(200_000);
    expect(endOffset - firstOffset).toBeLessThanOrEqual(logBytes);
    expect(endOffset - firstOffset).toBeGreaterThan(logBytes * 0.8);
    const { got, missed } = await outputOf(log.follow(START, plain));
    expect(missed.stdout).toBe(firstOffset);
    expect(got.stdout).toBe(endOffset - firstOffset);
  });

  it("drops nothing that its only follower has not read, even where the exec wants that", async () => {
    using log = logOf({ logBytes, overflow: "drop_oldest" });
    const cursor = log.follow(START, plain);
    const waits = await fill(log);
    expect(log.range("stdout").firstOffset).toBe(0);
    cursor[Symbol.dispose]();
    expect(await waits()).toBe(false);
    expect(log.range("stdout").firstOffset).toBeGreaterThan(0);
  });

  it("waits for the follower that has read most; a dead one is told what it missed", async () => {
    using log = logOf({ logBytes, overflow: "wait" });
    const fast = log.follow(START, plain);
    const dead = log.follow(START, plain);
    for (let i = 0; i < 300; i++) {
      await write(log, 1_000);
      await readSome(fast, 1_000);
    }
    const { firstOffset } = log.range("stdout");
    expect(firstOffset).toBeGreaterThan(200_000);
    const { got, missed } = await outputOf(dead);
    expect(missed.stdout).toBe(firstOffset);
    expect(got.stdout).toBe(300_000 - firstOffset);
  });

  it("waits for the slowest of those that hold it, however far others are", async () => {
    using log = logOf({ logBytes, overflow: "drop_oldest" });
    const fast = log.follow(START, plain);
    const holders = [log.follow(START, holding), log.follow(START, holding)];
    const waits = await fill(log);
    await outputOf(fast);
    await outputOf(holders[0]!);
    expect(await waits()).toBe(true);
    expect(log.range("stdout").firstOffset).toBe(0);
    await outputOf(holders[1]!);
    expect(await waits()).toBe(false);
  });

  it("goes on when the follower that held it has left", async () => {
    using log = logOf({ logBytes, overflow: "wait" });
    const fast = log.follow(START, plain);
    const holder = log.follow(START, holding);
    const waits = await fill(log);
    await outputOf(fast);
    expect(await waits()).toBe(true);
    holder[Symbol.dispose]();
    expect(await waits()).toBe(false);
    expect(holder.next(1)).toEqual({ is: "end" });
  });

  it("still has what was on the way to a follower that comes back, however fast the writer", async () => {
    using log = logOf({ logBytes: 1024 * 1024, overflow: "wait" });
    let read = 0;
    const appends: Promise<void>[] = [];
    const cursor = log.follow(START, holding);
    while (read < 10_000_000) {
      while (appends.length === 0 || !(await isPending(appends.at(-1)!))) {
        appends.push(write(log, 64 * 1024));
      }
      await readSome(cursor, 300_000);
      read += 300_000;
    }
    cursor[Symbol.dispose]();
    const again = await outputOf(log.follow({ stdout: read - 380_000, stderr: 0 }, holding));
    expect(again.missed.stdout).toBe(0);
  });

  it.each(["end", "discard", "close"] as const)("lets the writer go on: %s", async (release) => {
    using log = logOf({ logBytes });
    const waits = await fill(log);
    log[release]();
    expect(await waits()).toBe(false);
  });

  it("that is relaxed has room for what is on its way, and then drops the oldest", async () => {
    using log = logOf({ logBytes, overflow: "wait" });
    const waits = await fill(log);
    log.relax({ extraBytes: logBytes });
    expect(await waits()).toBe(false);
    for (let i = 0; i < 50; i++) await write(log, 1_000);
    expect(log.range("stdout").firstOffset).toBe(0);
    for (let i = 0; i < 50; i++) await write(log, 1_000);
    expect(log.range("stdout").firstOffset).toBeGreaterThan(0);
  });

  it("takes a chunk that is larger than all of it", async () => {
    using log = logOf({ logBytes: 1024 });
    const cursor = log.follow(START, holding);
    const append = write(log, 500_000);
    expect((await outputOf(cursor)).got.stdout).toBe(500_000);
    expect(await isPending(append)).toBe(false);
  });
});

describe("memory", () => {
  it("is in proportion to the output, for a writer that writes byte by byte to either stream", async () => {
    const budget = budgetOf();
    using log = logOf({ budget, logBytes: 8 * 1024 * 1024 });
    for (let i = 0; i < 100_000; i++) await write(log, 1);
    expect(budget.memoryBytes).toBeLessThan(101_000);
    for (let i = 0; i < 10_000; i++) await write(log, 1, i % 2 ? "stdout" : "stderr");
    expect(budget.memoryBytes).toBeLessThan(101_000 + 10_000 * 10);
    expect((await outputOf(log.follow(START, plain))).got).toEqual({
      stdout: 105_000,
      stderr: 5_000,
    });
  });

  it("leaves a piece as it is while its reader has it, though its block is dropped", async () => {
    using log = logOf();
    const slow = log.follow(START, plain);
    const fast = log.follow(START, plain);
    await write(log, 60_000);
    const piece = await slow.next(64 * 1024);
    expect(piece).toMatchObject({ is: "output", offset: 0 });
    for (let round = 0; round < 50; round++) {
      await write(log, 60_000);
      while ((await fast.next(64 * 1024)).is === "output");
    }
    expect(log.range("stdout").firstOffset).toBeGreaterThan(60_000);
    expect(piece.is === "output" && isAsWritten("stdout", 0, piece.data)).toBe(true);
  });

  it("is free after the discarding; followers are told, totals stay", async () => {
    const budget = budgetOf();
    using log = logOf({ budget });
    const cursor = log.follow(START, plain);
    await write(log, 100_000);
    log.end();
    const before = log.totals("stdout");
    log.discard();
    expect(budget.memoryBytes).toBe(0);
    expect(log.range("stdout")).toEqual({ firstOffset: 100_000, endOffset: 100_000 });
    expect(log.totals("stdout")).toEqual(before);
    expect(await readAll(cursor)).toEqual(["dropped stdout 0-100000"]);
    expect(cursor.next(1)).toEqual({ is: "end" });
  });
});

describe("totals", () => {
  it("are of all that was written, whatever is retained", async () => {
    using log = logOf({ logBytes: 1024, overflow: "drop_oldest" });
    for (let i = 0; i < 100; i++) await write(log, 1_000);
    const sha256 = createHash("sha256")
      .update(written("stdout", 0, 100_000))
      .digest();
    expect(log.range("stdout").firstOffset).toBeGreaterThan(98_000);
    expect(log.totals("stdout")).toEqual({ bytes: 100_000, sha256 });
    log.end();
    await write(log, 1_000);
    expect(log.totals("stdout")).toEqual({ bytes: 100_000, sha256 });
    expect(log.totals("stderr")).toEqual({ bytes: 0, sha256: createHash("sha256").digest() });
  });
});
