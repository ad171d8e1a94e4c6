import { describe, expect, it } from "vitest";
import { FakeDisk } from "./fake-disk.ts";
import { budgetOf, fill, isPending, logOf, outputOf, write } from "./scene.ts";

const START = { stdout: 0, stderr: 0 };
const KiB = 1024;

describe("the memory of all logs", () => {
  it("makes a log wait that wants more of it, and lets it go on when another gives some back", async () => {
    const budget = budgetOf(1024 * KiB);
    using log = logOf({ budget, logBytes: 2048 * KiB });
    using other = logOf({ budget, logBytes: 2048 * KiB });
    for (let i = 0; i < 14; i++) await write(other, 64 * KiB);
    const waits = await fill(log, 16 * KiB);
    expect(budget.memoryBytes).toBeLessThan(1024 * KiB + 256 * KiB + 17 * KiB);
    other.close();
    expect(await waits()).toBe(false);
  });

  it("leaves each log its first 256 KiB", async () => {
    const budget = budgetOf(512 * KiB);
    using greedy = logOf({ budget });
    await fill(greedy, 16 * KiB);
    using log = logOf({ budget });
    for (let i = 0; i < 15; i++) expect(await isPending(write(log, 16 * KiB)), `${i}`).toBe(false);
    await fill(log, 16 * KiB);
    expect(log.range("stdout").endOffset).toBeLessThan(300 * KiB);
  });

  it("never stops a log whose follower reads", async () => {
    const budget = budgetOf(512 * KiB);
    using greedy = logOf({ budget });
    await fill(greedy, 16 * KiB);
    using log = logOf({ budget });
    const cursor = log.follow(START, { holdsLog: true });
    for (let i = 0; i < 100; i++) {
      const append = write(log, 64 * KiB);
      expect((await outputOf(cursor)).got.stdout).toBe(64 * KiB);
      await append;
    }
  });

  it("makes a log use its file earlier", async () => {
    const budget = budgetOf(512 * KiB);
    using greedy = logOf({ budget });
    await fill(greedy, 16 * KiB);
    const disk = new FakeDisk();
    using log = logOf({ budget, spill: disk, logBytes: 4096 * KiB, memoryBytes: 2048 * KiB });
    for (let i = 0; i < 100; i++) await write(log, 16 * KiB);
    expect(budget.fileBytes).toBeGreaterThan(1024 * KiB);
    expect((await outputOf(log.follow(START, { holdsLog: false }))).got.stdout).toBe(1600 * KiB);
  });
});

describe("the files of all logs", () => {
  it("make a log wait that wants more of them, until another gives some back", async () => {
    const budget = budgetOf(Infinity, 512 * KiB);
    const options = { budget, logBytes: 2048 * KiB, memoryBytes: 64 * KiB };
    using greedy = logOf({ ...options, spill: new FakeDisk() });
    await fill(greedy, 8 * KiB);
    expect(budget.fileBytes).toBeGreaterThan(500 * KiB);
    using log = logOf({ ...options, spill: new FakeDisk() });
    const waits = await fill(log, 8 * KiB);
    expect(budget.fileBytes).toBeLessThanOrEqual(512 * KiB);
    greedy.close();
    expect(await waits()).toBe(false);
  });

  it("tell of room whoever was refused, once, when they are given back", () => {
    const budget = budgetOf(Infinity, 100);
    const told: string[] = [];
    const first = budget.share(() => told.push("first"));
    using second = budget.share(() => told.push("second"));
    using gone = budget.share(() => told.push("gone"));
    expect(first.growFile(100)).toBe(true);
    expect(second.growFile(1)).toBe(false);
    expect(gone.growFile(1)).toBe(false);
    gone[Symbol.dispose]();
    first.releaseFile();
    expect(told).toEqual(["second"]);
    expect(second.growFile(100)).toBe(true);
    second.releaseFile();
    expect(told).toEqual(["second"]);
  });

  it("let a log go round in what it has of them", async () => {
    const budget = budgetOf(Infinity, 100 * KiB);
    const options = { budget, logBytes: 2048 * KiB, memoryBytes: 64 * KiB };
    using log = logOf({ ...options, spill: new FakeDisk(), overflow: "drop_oldest" });
    for (let i = 0; i < 200; i++) await write(log, 8 * KiB);
    const { got, missed } = await outputOf(log.follow(START, { holdsLog: false }));
    expect(got.stdout + missed.stdout).toBe(1600 * KiB);
    expect(got.stdout).toBeGreaterThan(100 * KiB);
  });
});
