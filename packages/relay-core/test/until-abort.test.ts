import { describe, expect, it } from "vitest";
import { linkedAbort, untilAbort } from "../src/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";
import { settled } from "../src/testing/index.ts";

describe("untilAbort", () => {
  it("settles as the promise does and stops listening", async () => {
    const { signal } = new AbortController();
    const failure = new Error("no");
    await expect(untilAbort(Promise.resolve(1), signal)).resolves.toBe(1);
    await expect(untilAbort(Promise.reject(failure), signal)).rejects.toBe(failure);
    expect(abortListeners(signal)).toBe(0);
  });

  it("leaves a promise that never settles, with the abort's reason", async () => {
    const caller = new AbortController();
    const waiting = untilAbort(new Promise(() => {}), caller.signal);
    const reason = new Error("gone");
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(abortListeners(caller.signal)).toBe(0);
  });

  it("throws at once when the signal has aborted before", async () => {
    const reason = new Error("gone");
    const signal = AbortSignal.abort(reason);
    await expect(untilAbort(Promise.resolve(1), signal)).rejects.toBe(reason);
  });

  it("leaves no unhandled rejection when the promise fails after the abort", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    const caller = new AbortController();
    const [before, after] = [Promise.withResolvers(), Promise.withResolvers()];
    const left = untilAbort(before.promise, caller.signal);
    caller.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    await expect(untilAbort(after.promise, caller.signal)).rejects.toThrow("gone");
    before.reject(new Error("late"));
    after.reject(new Error("late"));
    await settled();
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });
});

describe("linkedAbort", () => {
  it("aborts with its parent and the parent's reason", () => {
    const parent = new AbortController();
    using child = linkedAbort(parent.signal);
    const reason = new Error("gone");
    parent.abort(reason);
    expect(child.signal.reason).toBe(reason);
    expect(linkedAbort(parent.signal).signal.reason).toBe(reason);
  });

  it("aborts by itself without its parent", () => {
    const parent = new AbortController();
    using child = linkedAbort(parent.signal);
    child.abort(new Error("own"));
    expect(child.signal.aborted).toBe(true);
    expect(parent.signal.aborted).toBe(false);
  });

  it("leaves no listener on its parent, and hears no more from it, once it is let go", () => {
    const parent = new AbortController();
    const child = linkedAbort(parent.signal);
    expect(abortListeners(parent.signal)).toBe(1);
    child[Symbol.dispose]();
    expect(abortListeners(parent.signal)).toBe(0);
    parent.abort();
    expect(child.signal.aborted).toBe(false);
  });
});
