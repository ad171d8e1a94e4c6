import { describe, expect, it } from "vitest";
import { TaskScope, sleep, untilAbort } from "../src/index.ts";
import { ManualClock, isSettled, settled } from "../src/testing/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";

const never = () => new Promise<never>(() => {});

describe("TaskScope", () => {
  it("aborts the other tasks at the first failure, with that failure", async () => {
    const { signal } = new AbortController();
    await using scope = new TaskScope("session", { signal });
    const failure = new Error("heartbeat lost");
    let siblingReason: unknown;
    scope.run(async (taskSignal) => {
      await untilAbort(never(), taskSignal).catch((reason: unknown) => (siblingReason = reason));
    });
    scope.run(() => Promise.reject(failure));
    await scope.idle();
    expect(siblingReason).toBe(failure);
    expect(scope.signal.reason).toBe(failure);
    expect(scope.failure).toBe(failure);
    expect(signal.aborted).toBe(false);
  });

  it("takes what a task throws before it waits for anything for its failure", async () => {
    const { signal } = new AbortController();
    await using scope = new TaskScope("session", { signal });
    scope.run(() => {
      throw new Error("at once");
    });
    await scope.idle();
    expect(scope.failure).toEqual(new Error("at once"));
  });

  it("leaves the other tasks alone when somebody takes the failures", async () => {
    const { signal } = new AbortController();
    const failures: unknown[] = [];
    const scope = new TaskScope("relays", { signal, onFailure: (error) => failures.push(error) });
    const [first, second] = [new Error("first"), new Error("second")];
    let siblingDone = false;
    const gate = Promise.withResolvers<void>();
    scope.run(async () => {
      await gate.promise;
      siblingDone = true;
    });
    scope.run(() => Promise.reject(first));
    scope.run(() => Promise.reject(second));
    await settled();
    expect(failures).toEqual([first, second]);
    expect(scope.failure).toBe(first);
    expect(scope.signal.aborted).toBe(false);
    gate.resolve();
    await scope.idle();
    expect(siblingDone).toBe(true);
    await scope[Symbol.asyncDispose]();
  });

  it("does not take the consequence of an abort for a failure", async () => {
    const parent = new AbortController();
    const failures: unknown[] = [];
    const onFailure = (error: unknown) => failures.push(error);
    await using scope = new TaskScope("session", { signal: parent.signal, onFailure });
    scope.run((taskSignal) => untilAbort(never(), taskSignal));
    const reason = new Error("shutdown");
    parent.abort(reason);
    await scope.idle();
    expect(scope.signal.reason).toBe(reason);
    expect(scope.failure).toBeUndefined();
    expect(failures).toEqual([]);
  });

  it("aborts at disposal and resolves only when each task has cleaned up", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const scope = new TaskScope("control-session", { signal });
    const cleaned: string[] = [];
    for (const [name, cleanUpMs] of [["slow", 500] as const, ["quick", 100] as const]) {
      scope.run(async (taskSignal) => {
        try {
          await untilAbort(never(), taskSignal);
        } finally {
          await sleep(cleanUpMs, clock, signal);
          cleaned.push(name);
        }
      });
    }
    const disposed = scope[Symbol.asyncDispose]();
    expect(scope.signal.reason).toEqual(new Error("control-session ended"));
    await clock.advance(499);
    expect(await isSettled(disposed)).toBe(false);
    expect(cleaned).toEqual(["quick"]);
    await clock.advance(1);
    await disposed;
    expect(cleaned).toEqual(["quick", "slow"]);
    expect(abortListeners(signal)).toBe(0);
  });

  it("never throws at disposal, not even when each clean-up fails", async () => {
    const { signal } = new AbortController();
    const scope = new TaskScope("session", { signal });
    scope.run((taskSignal) =>
      untilAbort(never(), taskSignal).finally(() => {
        throw new Error("clean-up");
      }),
    );
    await expect(scope[Symbol.asyncDispose]()).resolves.toBeUndefined();
    await expect(scope[Symbol.asyncDispose]()).resolves.toBeUndefined();
    expect(scope.failure).toBeUndefined();
  });

  it("is idle when no task runs any more, those included that tasks have started", async () => {
    const { signal } = new AbortController();
    await using scope = new TaskScope("session", { signal });
    const [outer, inner] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    scope.run(async () => {
      await outer.promise;
      scope.run(() => inner.promise);
    });
    const idle = scope.idle();
    outer.resolve();
    expect(await isSettled(idle)).toBe(false);
    inner.resolve();
    await idle;
    expect(scope.signal.aborted).toBe(false);
  });

  it("is idle at once when nothing was run", async () => {
    await using scope = new TaskScope("session", { signal: new AbortController().signal });
    await expect(scope.idle()).resolves.toBeUndefined();
  });

  it("keeps the first reason to abort", async () => {
    const parent = new AbortController();
    await using scope = new TaskScope("session", { signal: parent.signal });
    const first = new Error("superseded");
    scope.abort(first);
    scope.abort(new Error("again"));
    parent.abort(new Error("shutdown"));
    expect(scope.signal.reason).toBe(first);
    expect(scope.failure).toBeUndefined();
  });

  it("has aborted from the start when its parent has", async () => {
    const reason = new Error("shutdown");
    await using scope = new TaskScope("session", { signal: AbortSignal.abort(reason) });
    let given: AbortSignal | undefined;
    scope.run((taskSignal) => {
      given = taskSignal;
      return Promise.resolve();
    });
    await scope.idle();
    expect(given?.reason).toBe(reason);
  });
});
