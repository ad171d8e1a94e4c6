import { describe, expect, it } from "vitest";
import { Handoff } from "../src/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";
import { integerBetween, isSettled, seededRandom, seeds, settled } from "../src/testing/index.ts";

const { signal } = new AbortController();

async function readAll<T>(handoff: Handoff<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of handoff) values.push(value);
  return values;
}

describe("Handoff", () => {
  it("gives the values in order, then the end", async () => {
    const handoff = new Handoff<number>({ capacity: 3 });
    for (const value of [1, 2, 3]) expect(handoff.offer(value)).toBe(true);
    handoff.end();
    await expect(readAll(handoff)).resolves.toEqual([1, 2, 3]);
  });

  it("gives the values that came before an error, then the error", async () => {
    const handoff = new Handoff<number>({ capacity: 3 });
    const failure = new Error("relay lost");
    handoff.offer(1);
    handoff.fail(failure);
    const reader = handoff[Symbol.asyncIterator]();
    await expect(reader.next()).resolves.toEqual({ done: false, value: 1 });
    await expect(reader.next()).rejects.toBe(failure);
  });

  it("keeps the first end", async () => {
    const ended = new Handoff<number>();
    ended.end();
    ended.fail(new Error("late"));
    await expect(readAll(ended)).resolves.toEqual([]);
    const failed = new Handoff<number>();
    failed.fail(new Error("first"));
    failed.end();
    await expect(readAll(failed)).rejects.toThrow("first");
  });

  it("wakes a parked reader with a value, with the end and with an error", async () => {
    const [given, ended, failed] = [new Handoff<number>(), new Handoff<number>(), new Handoff()];
    const reads = [given, ended, failed].map((handoff) => handoff[Symbol.asyncIterator]().next());
    expect(await isSettled(Promise.race(reads))).toBe(false);
    given.offer(7);
    ended.end();
    failed.fail(new Error("lost"));
    await expect(reads[0]).resolves.toEqual({ done: false, value: 7 });
    await expect(reads[1]).resolves.toEqual({ done: true, value: undefined });
    await expect(reads[2]).rejects.toThrow("lost");
  });

  it("refuses an offer above its capacity, and nothing happens", async () => {
    const handoff = new Handoff<number>({ capacity: 2 });
    expect([1, 2, 3].map((value) => handoff.offer(value))).toEqual([true, true, false]);
    handoff.end();
    await expect(readAll(handoff)).resolves.toEqual([1, 2]);
  });

  it("slows a task that puts faster than its reader takes", async () => {
    const handoff = new Handoff<number>();
    await handoff.put(1, { signal });
    const second = handoff.put(2, { signal });
    expect(await isSettled(second)).toBe(false);
    await handoff[Symbol.asyncIterator]().next();
    await expect(second).resolves.toBeUndefined();
    expect(abortListeners(signal)).toBe(0);
  });

  it("frees a task whose reader has vanished when the signal aborts", async () => {
    const caller = new AbortController();
    const handoff = new Handoff<number>();
    handoff.offer(1);
    const putting = handoff.put(2, { signal: caller.signal });
    expect(await isSettled(putting)).toBe(false);
    const reason = new Error("stream gone");
    caller.abort(reason);
    await expect(putting).rejects.toBe(reason);
    handoff.end();
    await expect(readAll(handoff)).resolves.toEqual([1]);
  });

  it("puts nothing once the signal has aborted", async () => {
    const handoff = new Handoff<number>();
    const aborted = AbortSignal.abort(new Error("gone"));
    await expect(handoff.put(1, { signal: aborted })).rejects.toThrow("gone");
    handoff.end();
    await expect(readAll(handoff)).resolves.toEqual([]);
  });

  it.each(seeds(50))("loses and doubles nothing at any pace (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const handoff = new Handoff<number>({ capacity: integerBetween(1, 4, random) });
    const sent = Array.from({ length: 60 }, (_, index) => index);
    const pause = async () => {
      if (random() < 0.3) await settled();
      else if (random() < 0.5) await Promise.resolve();
    };
    const giving = (async () => {
      for (const value of sent) {
        await handoff.put(value, { signal });
        await pause();
      }
      handoff.end();
    })();
    const taken: number[] = [];
    for await (const value of handoff) {
      taken.push(value);
      await pause();
    }
    await giving;
    expect(taken).toEqual(sent);
  });
});
