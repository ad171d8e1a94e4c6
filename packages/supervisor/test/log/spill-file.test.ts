import { mkdtemp, readdir, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { spillDirectory } from "../../src/execs/log/spill-file.ts";
import { until } from "../support/until.ts";
import { FakeDisk, gate } from "./fake-disk.ts";
import { budgetOf, fill, logOf, outputOf, readAll, write } from "./scene.ts";

const START = { stdout: 0, stderr: 0 };
const plain = { holdsLog: false };
const KiB = 1024;
const spilling = { logBytes: 1024 * KiB, memoryBytes: 64 * KiB };

async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), "belay-log-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** What our process has open in the directory, as `/proc` says it. */
async function openIn(path: string): Promise<{ file: string; mode: number }[]> {
  const opened: { file: string; mode: number }[] = [];
  for (const fd of await readdir("/proc/self/fd")) {
    const file = await readlink(`/proc/self/fd/${fd}`).catch(() => "");
    if (file.startsWith(path)) {
      opened.push({ file, mode: (await stat(`/proc/self/fd/${fd}`)).mode & 0o777 });
    }
  }
  return opened;
}

describe("a log with a file", () => {
  it("keeps what memory has no room for, in a file without a name that is gone after the closing", async () => {
    await using directory = await temporaryDirectory();
    const budget = budgetOf();
    using log = logOf({ ...spilling, budget, spill: spillDirectory(directory.path) });
    for (let i = 0; i < 500; i++) {
      await write(log, 1_000);
      expect(budget.memoryBytes).toBeLessThanOrEqual(64 * KiB);
    }
    expect(await readdir(directory.path)).toEqual([]);
    expect(await openIn(directory.path)).toEqual([
      { file: expect.stringContaining("(deleted)") as string, mode: 0o600 },
    ]);
    log.end();
    expect((await outputOf(log.follow(START, plain))).got.stdout).toBe(500_000);
    log.close();
    await until("closed", async () => (await openIn(directory.path)).length === 0);
    expect(budget).toMatchObject({ memoryBytes: 0, fileBytes: 0 });
  });

  it("makes none while memory is enough", async () => {
    const disk = new FakeDisk();
    using log = logOf({ ...spilling, spill: disk });
    for (let i = 0; i < 60; i++) await write(log, 1_000);
    expect(disk.opens).toBe(0);
  });

  it("waits for a disk that is slower than the process", async () => {
    const disk = new FakeDisk();
    const slow = gate();
    disk.beforeWrite = () => slow.passed;
    const budget = budgetOf();
    using log = logOf({ ...spilling, budget, spill: disk });
    const waits = await fill(log);
    expect(budget.memoryBytes).toBeLessThanOrEqual(64 * KiB + 1_100);
    slow.open();
    expect(await waits()).toBe(false);
  });

  it("goes round in its file, which never gets longer than the log", async () => {
    const disk = new FakeDisk();
    using log = logOf({ ...spilling, logBytes: 256 * KiB, spill: disk, overflow: "drop_oldest" });
    for (let i = 0; i < 3_000; i++) await write(log, 1_000);
    expect(disk.longest).toBeLessThanOrEqual(256 * KiB + 2 * (8 * KiB + 72));
    const { got, missed } = await outputOf(log.follow(START, plain));
    expect(got.stdout + missed.stdout).toBe(3_000_000);
    expect(got.stdout).toBeGreaterThan(230 * KiB);
  });

  it("says that output was dropped, never other output, when that happens while it is read", async () => {
    const disk = new FakeDisk();
    using log = logOf({ ...spilling, logBytes: 256 * KiB, spill: disk });
    using fast = log.follow(START, plain);
    const slow = log.follow(START, plain);
    for (let i = 0; i < 200; i++) await write(log, 1_000);
    const read = gate();
    disk.beforeRead = () => {
      disk.beforeRead = () => Promise.resolve();
      return read.passed;
    };
    const next = slow.next(1_000);
    for (let i = 0; i < 1_000; i++) {
      await outputOf(fast);
      await write(log, 1_000);
    }
    read.open();
    const toOffset = log.range("stdout").firstOffset;
    expect(toOffset).toBeGreaterThan(500_000);
    expect(await next).toEqual({ is: "dropped", stream: "stdout", fromOffset: 0, toOffset });
    const rest = await outputOf(slow);
    expect(rest.got.stdout).toBe(1_200_000 - toOffset);
  });

  describe("whose disk is full is memory alone from then on, says so once,", () => {
    const scene = (overflow: "wait" | "drop_oldest", freeBytes: number) => {
      const disk = new FakeDisk();
      disk.freeBytes = freeBytes;
      const failures: unknown[] = [];
      const budget = budgetOf();
      const onSpillFailed = (error: unknown) => failures.push(error);
      const log = logOf({ ...spilling, budget, spill: disk, overflow, onSpillFailed });
      return { log, budget, failures };
    };

    it("and makes the writer wait", async () => {
      const { log, budget, failures } = scene("wait", 100_000);
      const waits = await fill(log);
      expect(budget.memoryBytes).toBeLessThanOrEqual(64 * KiB + 1_100);
      const { got, missed } = await outputOf(log.follow(START, plain));
      expect(missed.stdout).toBe(0);
      expect(got.stdout).toBeGreaterThan(150_000);
      expect(await waits()).toBe(false);
      expect(failures).toEqual([expect.objectContaining({ code: "ENOSPC" })]);
      log.close();
    });

    it("or drops the oldest", async () => {
      const { log, budget, failures } = scene("drop_oldest", 0);
      for (let i = 0; i < 1_000; i++) await write(log, 1_000);
      expect(budget.memoryBytes).toBeLessThanOrEqual(64 * KiB);
      expect(log.range("stdout").firstOffset).toBeGreaterThan(1_000_000 - 64 * KiB);
      expect(failures).toEqual([expect.objectContaining({ code: "ENOSPC" })]);
      log.close();
    });
  });

  it("says that output was dropped where its file cannot be read, and goes on behind it", async () => {
    const disk = new FakeDisk();
    const failures: unknown[] = [];
    const onSpillFailed = (error: unknown) => failures.push(error);
    using log = logOf({ ...spilling, spill: disk, onSpillFailed });
    for (let i = 0; i < 500; i++) await write(log, 1_000);
    log.end();
    disk.readsFail = true;
    const { got, missed, last } = await outputOf(log.follow(START, plain));
    expect(got.stdout + missed.stdout).toBe(500_000);
    expect(got.stdout).toBeGreaterThan(20_000);
    expect(last).toBe("end");
    expect(failures).toEqual([expect.objectContaining({ code: "EIO" })]);
  });

  it("goes on when its file cannot be read while it is written", async () => {
    const disk = new FakeDisk();
    using log = logOf({ ...spilling, spill: disk, overflow: "drop_oldest" });
    for (let i = 0; i < 100; i++) await write(log, 1_000);
    const slow = gate();
    disk.beforeWrite = () => slow.passed;
    const waits = await fill(log);
    disk.readsFail = true;
    const cursor = log.follow(START, plain);
    expect(await cursor.next(1)).toMatchObject({ is: "dropped" });
    cursor[Symbol.dispose]();
    slow.open();
    expect(await waits()).toBe(false);
    for (let i = 0; i < 100; i++) await write(log, 1_000);
    expect(log.range("stdout").firstOffset).toBeGreaterThan(100_000);
  });

  it("that is closed while its file is opened, written or read leaves none open", async () => {
    const disk = new FakeDisk();
    const failures: unknown[] = [];
    const onSpillFailed = (error: unknown) => failures.push(error);
    for (const ticks of [0, 1, 2, 3, 4, 5, 6, 10, 20]) {
      using log = logOf({ ...spilling, spill: disk, onSpillFailed });
      const cursor = log.follow(START, plain);
      const append = write(log, 100_000);
      for (let i = 0; i < ticks; i++) await Promise.resolve();
      const next = cursor.next(10);
      log.close();
      await append;
      await next;
      expect(await readAll(cursor)).toEqual([]);
    }
    expect(disk.opens).toBe(9);
    await until("closed", () => disk.openFiles === 0);
    expect(failures).toEqual([]);
  });

  it("gives the file back with the discarding", async () => {
    const disk = new FakeDisk();
    const budget = budgetOf();
    using log = logOf({ ...spilling, budget, spill: disk });
    for (let i = 0; i < 500; i++) await write(log, 1_000);
    expect(budget.fileBytes).toBeGreaterThan(400_000);
    log.end();
    log.discard();
    await until("closed", () => disk.openFiles === 0);
    expect(budget).toMatchObject({ memoryBytes: 0, fileBytes: 0 });
    expect(await readAll(log.follow(START, plain))).toEqual(["dropped stdout 0-500000"]);
  });
});
