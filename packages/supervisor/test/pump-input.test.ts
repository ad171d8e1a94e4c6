import { PassThrough, Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import { pumpInput } from "../src/execs/pump-input.ts";
import { until } from "./support/until.ts";

const pump = (source: PassThrough, sink: Writable, isOver: boolean, signal?: AbortSignal) =>
  pumpInput(source, sink, {
    isOver: () => isOver,
    signal: signal ?? new AbortController().signal,
    clock: systemClock,
  });

describe("input", () => {
  it("that the client has ended ends the process's input", async () => {
    const source = new PassThrough();
    const sink = new PassThrough();
    source.end("all of it");
    await pump(source, sink, true);
    expect(sink.writableEnded).toBe(true);
    expect(String(sink.read())).toBe("all of it");
  });

  it("that ended because its connection did is not passed off as whole", async () => {
    const source = new PassThrough();
    const sink = new PassThrough();
    source.end("half of it");
    await pump(source, sink, false);
    expect(sink.writableEnded).toBe(false);
  });

  it("is taken to its end although nobody reads it any more", async () => {
    const source = new PassThrough();
    const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    sink.on("error", () => {});
    const pumping = pump(source, sink, true);
    let taken = 0;
    for (; taken < 10; taken += 1) {
      const chunk = Buffer.alloc(64 * 1024);
      if (!source.write(chunk)) await new Promise((resolve) => source.once("drain", resolve));
    }
    source.end();
    await pumping;
    expect(taken).toBe(10);
  });

  it("waits for a process that reads slowly", async () => {
    const source = new PassThrough();
    const written: (() => void)[] = [];
    const sink = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => void written.push(done),
    });
    const pumping = pump(source, sink, true);
    source.write("first");
    await until("the first write", () => written.length === 1);
    source.end("second");
    await new Promise((resolve) => setImmediate(resolve));
    expect(written).toHaveLength(1);
    written[0]!();
    await until("the second write", () => written.length === 2);
    written[1]!();
    await pumping;
  });

  it("is left where it is when the exec ends", async () => {
    const source = new PassThrough();
    const sink = new Writable({ highWaterMark: 1, write: () => {} });
    const over = new AbortController();
    const pumping = pump(source, sink, true, over.signal);
    source.write("never taken");
    over.abort();
    await expect(pumping).resolves.toBeUndefined();
    source.end("dropped");
    await until("the rest is dropped", () => source.readableEnded);
  });
});
