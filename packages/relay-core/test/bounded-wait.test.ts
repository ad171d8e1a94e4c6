import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { waitAtMost } from "../src/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";
import { PolledClock } from "./support/polled-clock.ts";
import { isSettled, rejection, settled } from "../src/testing/index.ts";

const wait = { what: "relay open", limitMs: 10_000, kind: "relay_open_timeout" } as const;
const never = () => new Promise<never>(() => {});

function setUp() {
  const clock = new PolledClock();
  const caller = new AbortController();
  return { clock, caller, signal: caller.signal };
}

describe("waitAtMost", () => {
  it("gives the result and leaves no timer and no listener behind", async () => {
    const { clock, signal } = setUp();
    const result = await waitAtMost(wait, clock, () => Promise.resolve("relay"), { signal });
    expect(result).toBe("relay");
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(signal)).toBe(0);
  });

  it("passes a failure of the work on as it is, with no timer left", async () => {
    const { clock, signal } = setUp();
    const failure = new Error("refused");
    const waiting = waitAtMost(wait, clock, () => Promise.reject(failure), { signal });
    await expect(waiting).rejects.toBe(failure);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(signal)).toBe(0);
  });

  it("passes on what the work throws before it waits for anything", async () => {
    const { clock, signal } = setUp();
    const failure = new Error("bad argument");
    const work = () => {
      throw failure;
    };
    await expect(waitAtMost(wait, clock, work, { signal })).rejects.toBe(failure);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(signal)).toBe(0);
  });

  it("fails at the limit, not before, with the kind, what was awaited and for how long", async () => {
    const { clock, signal } = setUp();
    const waiting = waitAtMost(wait, clock, never, { signal });
    await clock.advance(9_999);
    expect(await isSettled(waiting)).toBe(false);
    const failure = rejection(waiting);
    await clock.advance(1);
    expect(await failure).toMatchObject({
      name: "BelayError",
      kind: "relay_open_timeout",
      message: "relay open: no answer within 10000 ms",
      outcome: "not_started",
      ids: {},
    });
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(signal)).toBe(0);
  });

  it("says the text that clients match on, the outcome and the ids that it was given", async () => {
    const { clock, signal } = setUp();
    const known = { outcome: "unknown", ids: { sandboxId: "sb" } } as const;
    const waiting = waitAtMost(
      { ...wait, ...known, message: "relay open timed out" },
      clock,
      never,
      {
        signal,
      },
    );
    const failure = rejection(waiting);
    await clock.advance(10_000);
    expect(await failure).toMatchObject({ ...known, message: "relay open timed out" });
  });

  it("aborts the work's signal at the limit, with the error", async () => {
    const { clock, signal } = setUp();
    let workSignal: AbortSignal | undefined;
    const work = (given: AbortSignal) => {
      workSignal = given;
      return never();
    };
    const waiting = waitAtMost(wait, clock, work, { signal });
    expect(workSignal?.aborted).toBe(false);
    const failure = rejection(waiting);
    await clock.advance(10_000);
    expect(await failure).toBeInstanceOf(BelayError);
    expect(workSignal?.aborted).toBe(true);
    expect(await failure).toBe(workSignal?.reason);
  });

  it("ends with the caller's abort and its reason, and tells the work", async () => {
    const { clock, caller, signal } = setUp();
    let workSignal: AbortSignal | undefined;
    const work = (given: AbortSignal) => {
      workSignal = given;
      return never();
    };
    const waiting = waitAtMost(wait, clock, work, { signal });
    const reason = new BelayError("canceled", "the caller went away");
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(workSignal?.reason).toBe(reason);
    expect(clock.pendingTimers).toBe(0);
  });

  it("prefers the abort's reason to whatever the work makes of its signal", async () => {
    const { clock, caller, signal } = setUp();
    const work = (given: AbortSignal) =>
      new Promise<string>((resolve) => given.addEventListener("abort", () => resolve("half")));
    const waiting = waitAtMost(wait, clock, work, { signal });
    const reason = new Error("gone");
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it("does not begin when the caller has aborted already", async () => {
    const { clock, caller, signal } = setUp();
    const reason = new Error("gone");
    caller.abort(reason);
    let begun = false;
    const work = () => {
      begun = true;
      return Promise.resolve();
    };
    await expect(waitAtMost(wait, clock, work, { signal })).rejects.toBe(reason);
    expect(begun).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([10_000, 10_001, 3_600_000])(
    "takes a result that waits behind a stall of %i ms, and does not abort its signal",
    async (stallMs) => {
      const { clock, signal } = setUp();
      let workSignal: AbortSignal | undefined;
      const work = (given: AbortSignal) => {
        workSignal = given;
        return new Promise<string>((resolve) => clock.arrives(() => resolve("answer")));
      };
      const waiting = waitAtMost(wait, clock, work, { signal });
      await clock.stall(stallMs);
      await expect(waiting).resolves.toBe("answer");
      await settled();
      expect(workSignal?.aborted).toBe(false);
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it("takes a failure that waits behind a stall rather than the limit", async () => {
    const { clock, signal } = setUp();
    const failure = new Error("refused");
    const work = () => new Promise<never>((_, reject) => clock.arrives(() => reject(failure)));
    const failed = rejection(waitAtMost(wait, clock, work, { signal }));
    await clock.stall(60_000);
    expect(await failed).toBe(failure);
  });

  it("fails at the limit after a stall when nothing waits", async () => {
    const { clock, signal } = setUp();
    const failure = rejection(waitAtMost(wait, clock, never, { signal }));
    await clock.stall(60_000);
    expect(await failure).toMatchObject({ kind: "relay_open_timeout" });
  });

  it("does not abort the signal of finished work when its caller aborts later", async () => {
    const { clock, caller, signal } = setUp();
    const given = await waitAtMost(wait, clock, (own) => Promise.resolve(own), { signal });
    caller.abort();
    expect(given.aborted).toBe(false);
  });

  it("leaves no unhandled rejection when the work fails after the limit or the abort", async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    try {
      for (const end of ["limit", "abort"]) {
        const { clock, caller, signal } = setUp();
        const late = Promise.withResolvers<void>();
        const failure = rejection(waitAtMost(wait, clock, () => late.promise, { signal }));
        if (end === "limit") await clock.advance(10_000);
        else caller.abort(new Error("gone"));
        await failure;
        late.reject(new Error("too late"));
        await settled();
      }
    } finally {
      process.off("unhandledRejection", note);
    }
    expect(unhandled).toEqual([]);
  });
});
