import { PassThrough, Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { ManualClock } from "@belay/relay-core/testing";
import { pumpOutput } from "../src/execs/pump-output.ts";

const limits = { quietMs: 250, totalMs: 2_000, ownBytes: 1_000 };

function scene(source: Readable, pace?: (clock: ManualClock) => Promise<void>) {
  const clock = new ManualClock();
  const exited = new AbortController();
  const written: string[] = [];
  const state = { result: undefined as boolean | undefined };
  const write = async (chunk: Buffer) => {
    written.push(String(chunk));
    await pace?.(clock);
  };
  const done = pumpOutput(source, { write, exited: exited.signal, limits, clock }).then(
    (complete) => (state.result = complete),
  );
  return { clock, exited, written, state, done };
}

describe("output", () => {
  it("is complete when it ends, before or after the exit", async () => {
    const source = new PassThrough();
    const { exited, written, done } = scene(source);
    source.write("before ");
    exited.abort();
    source.end("after");
    await expect(done).resolves.toBe(true);
    expect(written.join("")).toBe("before after");
  });

  it("may be silent for ever while the process runs", async () => {
    const { clock, state } = scene(new PassThrough());
    await clock.advance(86_400_000);
    expect(state.result).toBeUndefined();
  });

  it("that somebody holds after the exit is given up after a quiet time", async () => {
    const source = new PassThrough();
    const { clock, exited, written, state } = scene(source);
    exited.abort();
    await clock.advance(200);
    source.write("late");
    await clock.advance(200);
    expect(state.result).toBeUndefined();
    await clock.advance(50);
    expect(state.result).toBe(false);
    expect(written.join("")).toBe("late");
  });

  it("that comes again and again after the exit is given up after the whole time", async () => {
    const source = new PassThrough();
    const { clock, exited, state } = scene(source);
    exited.abort();
    for (let spent = 0; spent < 1_800; spent += 200) {
      source.write("more");
      await clock.advance(200);
    }
    expect(state.result).toBeUndefined();
    source.write("more");
    await clock.advance(200);
    expect(state.result).toBe(false);
  });

  it("that never stops after the exit is given up after the whole time", async () => {
    const endless = new Readable({ read: () => void endless.push(Buffer.alloc(100)) });
    const { exited, done, written } = scene(endless, (clock) => clock.advance(100));
    exited.abort();
    await expect(done).resolves.toBe(false);
    expect(written).toHaveLength(21); // the first one before the exit
  });

  it("of the process itself is all read, however slow its reader is", async () => {
    const source = new PassThrough();
    source.end(Buffer.alloc(900));
    const { exited, done, written } = scene(source, (clock) => clock.advance(60_000));
    exited.abort();
    await expect(done).resolves.toBe(true);
    expect(written.join("")).toHaveLength(900);
  });
});
