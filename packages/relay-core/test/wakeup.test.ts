import { describe, expect, it } from "vitest";
import { Wakeup } from "../src/index.ts";
import {
  ManualClock,
  integerBetween,
  isSettled,
  seededRandom,
  seeds,
  settled,
} from "../src/testing/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";
import { PolledClock } from "./support/polled-clock.ts";

function setUp() {
  const clock = new PolledClock();
  const caller = new AbortController();
  const wakeup = new Wakeup();
  const wait = (limitMs: number) => wakeup.wait({ signal: caller.signal, clock, limitMs });
  return { clock, caller, wakeup, wait };
}

/** A look at the I/O lasts until the test ends it, as it lasts a turn of the real event loop. */
class SlowPollClock extends ManualClock {
  readonly polled = Promise.withResolvers<void>();
  override pollIo(): Promise<void> {
    return this.polled.promise;
  }
}

describe("Wakeup", () => {
  it("wakes its waiter at a notification", async () => {
    const { clock, caller, wakeup, wait } = setUp();
    const waiting = wait(1_000);
    expect(await isSettled(waiting)).toBe(false);
    wakeup.notify();
    await expect(waiting).resolves.toBe(true);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(caller.signal)).toBe(0);
  });

  it("keeps a notification that comes while nobody waits", async () => {
    const { clock, wakeup, wait } = setUp();
    wakeup.notify();
    await expect(wait(1_000)).resolves.toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps any number of notifications as one", async () => {
    const { wakeup, wait } = setUp();
    for (let time = 0; time < 5; time += 1) wakeup.notify();
    await expect(wait(1_000)).resolves.toBe(true);
    expect(await isSettled(wait(1_000))).toBe(false);
  });

  it("takes a second notification before its waiter runs for the same", async () => {
    const { wakeup, wait } = setUp();
    const waiting = wait(1_000);
    wakeup.notify();
    wakeup.notify();
    await expect(waiting).resolves.toBe(true);
    expect(await isSettled(wait(1_000))).toBe(false);
  });

  it("is false at the limit, not before", async () => {
    const { clock, caller, wait } = setUp();
    const waiting = wait(500);
    await clock.advance(499);
    expect(await isSettled(waiting)).toBe(false);
    await clock.advance(1);
    await expect(waiting).resolves.toBe(false);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(caller.signal)).toBe(0);
  });

  it("is true when the notification waits behind a stall that is longer than the limit", async () => {
    const { clock, wakeup, wait } = setUp();
    const waiting = wait(500);
    clock.arrives(wakeup.notify);
    await clock.stall(3_600_000);
    await expect(waiting).resolves.toBe(true);
  });

  it("waits without a timer when there is no limit", async () => {
    const { clock, wakeup, wait } = setUp();
    const waiting = wait(Infinity);
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(86_400_000);
    expect(await isSettled(waiting)).toBe(false);
    wakeup.notify();
    await expect(waiting).resolves.toBe(true);
  });

  it("throws the abort's reason and forgets the waiter", async () => {
    const { clock, caller, wakeup, wait } = setUp();
    const waiting = wait(500);
    const reason = new Error("gone");
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(caller.signal)).toBe(0);
    wakeup.notify();
    await expect(wait(500)).rejects.toBe(reason);
  });

  it("keeps a notification through a wait that was aborted before", async () => {
    const { clock, wakeup, wait } = setUp();
    wakeup.notify();
    const aborted = AbortSignal.abort(new Error("gone"));
    await expect(wakeup.wait({ signal: aborted, clock, limitMs: 500 })).rejects.toThrow("gone");
    await expect(wait(500)).resolves.toBe(true);
  });

  it("wakes the next waiter although the limit of the wait before was being judged", async () => {
    const clock = new SlowPollClock();
    const { signal } = new AbortController();
    const wakeup = new Wakeup();
    const first = wakeup.wait({ signal, clock, limitMs: 500 });
    await clock.advance(500);
    wakeup.notify(); // while the loop looks at its I/O
    await expect(first).resolves.toBe(true);
    const second = wakeup.wait({ signal, clock, limitMs: Infinity });
    clock.polled.resolve();
    await settled();
    wakeup.notify();
    expect(await isSettled(second)).toBe(true);
  });

  it.each(seeds(100))("loses no change, whatever the order of events (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const { clock, wakeup, wait } = setUp();
    let changes = 0;
    let seen = 0;
    const reader = (async () => {
      while (seen < 50) {
        await wait(random() < 0.5 ? Infinity : integerBetween(1, 5, random));
        seen = changes;
        if (random() < 0.5) await settled();
      }
    })();
    while (changes < 50) {
      const burst = Math.min(50 - changes, integerBetween(1, 3, random));
      for (let change = 0; change < burst; change += 1) {
        changes += 1;
        wakeup.notify();
      }
      if (random() < 0.5) await clock.advance(integerBetween(1, 5, random));
      else await Promise.resolve();
    }
    for (let turn = 0; turn < 5 && seen < 50; turn += 1) await settled(); // and no time passes
    expect(seen).toBe(50);
    await reader;
  });
});
