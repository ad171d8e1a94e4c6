import { describe, expect, it } from "vitest";
import { LogBodies } from "../../src/execs/log/log-bodies.ts";
import { LogIndex } from "../../src/execs/log/log-index.ts";

const START = { stdout: 0, stderr: 0 };
const place = { position: 0, bytes: 0 };

describe("the blocks of a log", () => {
  it("take chunks of both streams, as many as fit", () => {
    const index = new LogIndex({ blockBytes: 64 * 1024, bodies: new LogBodies() });
    for (let i = 0; i < 100; i++) index.append(i % 2 ? "stdout" : "stderr", Buffer.alloc(10));
    index.append("stdout", Buffer.alloc(60_000));
    index.append("stdout", Buffer.alloc(5_000));
    const [first] = index.oldestHeld();
    expect([first?.runs.length, first?.body.length]).toEqual([100, 61_000]);
    expect(index.retainedBytes).toBe(66_000 + 2 * 64 + 101 * 8);
  });

  it("go to the file together, as far as they make one block of it", () => {
    const index = new LogIndex({ blockBytes: 64 * 1024, bodies: new LogBodies() });
    for (let i = 0; i < 100; i++) index.append("stdout", Buffer.alloc(5_000));
    const blocks = index.oldestHeld();
    index.moveToFile(blocks, place);
    expect(index.find(START)).toMatchObject({ is: "filed", end: { stdout: 65_000 }, runs: 1 });
    expect(index.find({ stdout: 65_000, stderr: 0 })).toMatchObject({
      is: "held",
      start: { stdout: 65_000 },
    });
  });

  it("take no more once they are on their way to the file", () => {
    const index = new LogIndex({ blockBytes: 1_000, bodies: new LogBodies() });
    index.append("stdout", Buffer.from("old"));
    const blocks = index.oldestHeld();
    index.append("stdout", Buffer.from("new"));
    index.moveToFile(blocks, place);
    const found = index.find({ stdout: 3, stderr: 0 });
    expect(found?.is === "held" && String(found.body)).toBe("new");
  });

  it("take no more once they were dropped, nor come back by way of the file", () => {
    const index = new LogIndex({ blockBytes: 1_000, bodies: new LogBodies() });
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
