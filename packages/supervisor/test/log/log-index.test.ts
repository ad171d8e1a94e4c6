import { describe, expect, it } from "vitest";
import { LogIndex } from "../../src/execs/log/log-index.ts";

const START = { stdout: 0, stderr: 0 };
const place = { position: 0, bytes: 0 };

describe("the blocks of a log", () => {
  it("take many small chunks each, of both streams, and larger ones alone", () => {
    const index = new LogIndex({ blockBytes: 64 * 1024 });
    for (let i = 0; i < 100; i++) index.append(i % 2 ? "stdout" : "stderr", Buffer.alloc(10));
    index.append("stdout", Buffer.alloc(5_000));
    index.append("stdout", Buffer.alloc(10));
    const blocks = index.oldestHeld().map(({ runs, body }) => [runs.length, body.length]);
    expect(blocks).toEqual([
      [100, 1_000],
      [1, 5_000],
      [1, 10],
    ]);
    expect(index.retainedBytes).toBe(6_010 + 3 * 64 + 102 * 8);
  });

  it("go to the file together, as far as they make one block of it", () => {
    const index = new LogIndex({ blockBytes: 64 * 1024 });
    for (let i = 0; i < 100; i++) index.append("stdout", Buffer.alloc(5_000));
    const blocks = index.oldestHeld();
    expect(blocks).toHaveLength(12);
    index.moveToFile(blocks, place);
    expect(index.find(START)).toMatchObject({ is: "filed", end: { stdout: 60_000 }, runs: 12 });
    expect(index.find({ stdout: 60_000, stderr: 0 })).toMatchObject({
      is: "held",
      start: { stdout: 60_000 },
    });
  });

  it("take no more once they are on their way to the file", () => {
    const index = new LogIndex({ blockBytes: 1_000 });
    index.append("stdout", Buffer.from("old"));
    const blocks = index.oldestHeld();
    index.append("stdout", Buffer.from("new"));
    index.moveToFile(blocks, place);
    const found = index.find({ stdout: 3, stderr: 0 });
    expect(found?.is === "held" && String(found.body)).toBe("new");
  });

  it("take no more once they were dropped, nor come back by way of the file", () => {
    const index = new LogIndex({ blockBytes: 1_000 });
    index.append("stdout", Buffer.from("old"));
    index.dropOldest();
    expect(index.find(START)).toBeUndefined();
    index.append("stderr", Buffer.from("new"));
    expect(index.first).toMatchObject({ stdout: 3, stderr: 0 });
    const blocks = index.oldestHeld();
    index.dropOldest();
    index.moveToFile(blocks, place);
    expect(index.find(START)).toBeUndefined();
    expect(index).toMatchObject({ retainedBytes: 0, memoryBytes: 0 });
  });
});
