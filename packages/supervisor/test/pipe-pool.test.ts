// pipe-pool.test.ts: pipes that can be opened by name, and what happens where there are none.
import { closeSync, constants, fstatSync, readSync, writeSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import { PipePool, closePipes, reopen } from "../src/process/pipe-pool.ts";

const NEVER = new AbortController().signal;
const unsupported: unknown[] = [];
let pool: PipePool | undefined;

afterEach(() => {
  pool?.[Symbol.dispose]();
  unsupported.splice(0);
});

function open(size = 63): PipePool {
  pool = new PipePool({
    size,
    helperMs: 5_000,
    clock: systemClock,
    onUnsupported: (cause) => unsupported.push(cause),
  });
  return pool;
}

describe("the pool of pipes", () => {
  it("gives empty anonymous pipes, each its own", async () => {
    const pipes = (await open().take(9, { signal: NEVER }))!;
    expect(unsupported).toEqual([]);
    expect(new Set(pipes.map((pipe) => fstatSync(pipe).ino)).size).toBe(9);
    for (const pipe of pipes) {
      const write = reopen(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
      const read = reopen(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
      const buffer = Buffer.alloc(10);
      expect(() => readSync(read, buffer)).toThrow(/EAGAIN/);
      writeSync(write, "abc");
      expect(buffer.toString("utf8", 0, readSync(read, buffer))).toBe("abc");
      closeSync(write);
      closeSync(read);
    }
    closePipes(pipes);
  });

  it("has an end of data that is seen when the last writer has gone", async () => {
    const [pipe] = (await open().take(1, { signal: NEVER }))!;
    const write = reopen(pipe!, constants.O_WRONLY);
    const read = reopen(pipe!, constants.O_RDONLY | constants.O_NONBLOCK);
    closePipes([pipe!]);
    closeSync(write);
    expect(readSync(read, Buffer.alloc(1))).toBe(0);
    closeSync(read);
  });

  it("serves many at once, more than it keeps ready", async () => {
    const small = open(14);
    const taken = await Promise.all(
      Array.from({ length: 60 }, () => small.take(3, { signal: NEVER })),
    );
    expect(taken.every((pipes) => pipes?.length === 3)).toBe(true);
    for (const pipes of taken) closePipes(pipes!);
  });

  it("gives nothing to somebody who has stopped waiting, and nothing is lost", async () => {
    const abort = new AbortController();
    const taking = open().take(3, { signal: abort.signal });
    abort.abort(new Error("gone"));
    await expect(taking).rejects.toThrow("gone");
    closePipes((await pool!.take(3, { signal: NEVER }))!);
  });
});
