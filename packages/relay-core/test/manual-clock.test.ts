import { describe, expect, it } from "vitest";
import { ManualClock } from "../src/testing/index.ts";

describe("ManualClock", () => {
  it("fires timers in the order of their time, then of their setting, each at its own time", async () => {
    const clock = new ManualClock();
    const fired: [string, number][] = [];
    const note = (name: string) => () => void fired.push([name, clock.now()]);
    clock.setTimer(20, note("late"));
    clock.setTimer(10, note("first"));
    clock.setTimer(10, note("second"));
    await clock.advance(15);
    expect(fired).toEqual([
      ["first", 10],
      ["second", 10],
    ]);
    expect(clock.now()).toBe(15);
    await clock.advance(5);
    expect(fired.at(-1)).toEqual(["late", 20]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("fires timers that were set by timers, within the same advance", async () => {
    const clock = new ManualClock();
    const firedAtMs: number[] = [];
    const again = () => {
      firedAtMs.push(clock.now());
      clock.setTimer(10, again);
    };
    clock.setTimer(10, again);
    await clock.advance(35);
    expect(firedAtMs).toEqual([10, 20, 30]);
    expect(clock.pendingTimers).toBe(1);
  });

  it("does not fire a cancelled timer", async () => {
    const clock = new ManualClock();
    let fired = false;
    const timer = clock.setTimer(10, () => (fired = true));
    timer.cancel();
    timer.cancel();
    await clock.advance(100);
    expect(fired).toBe(false);
  });

  it("fires late after a stall, and a timer that repeats only once", async () => {
    const clock = new ManualClock();
    const firedAtMs: number[] = [];
    const again = () => {
      firedAtMs.push(clock.now());
      clock.setTimer(10, again);
    };
    clock.setTimer(10, again);
    await clock.stall(1_000);
    expect(firedAtMs).toEqual([1_000]);
  });

  it("waits for timers to be set, and says so when they never are", async () => {
    const clock = new ManualClock();
    setImmediate(() => clock.setTimer(10, () => {}));
    await expect(clock.waitForTimers(1)).resolves.toBeUndefined();
    await expect(clock.waitForTimers(2)).rejects.toThrow("only 1 of 2 timers were set");
  });
});
