// When faults strike: one at a time on each path, and none after the last exec.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Adapter } from "../adapters/adapter.ts";
import type { Fault } from "../faults/fault.ts";
import { StrikeLog } from "../run/strike-log.ts";
import { exec, fault } from "./support/evidence.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Begins each fault that it is given, and ends it when told to. */
function struckSystem() {
  const begun: number[] = [];
  const heals: (() => void)[] = [];
  const strike = async ({ id }: Fault) => {
    begun.push(id);
    await new Promise<void>((resolve) => heals.push(resolve));
  };
  const adapter = { name: "struck", supports: () => true, strike } as unknown as Adapter;
  return { begun, heals, log: new StrikeLog(adapter, () => {}) };
}

describe("StrikeLog", () => {
  it("strikes so long after the call as the fault says", async () => {
    const { begun, log } = struckSystem();
    log.plan({ ...fault, id: 1, afterMs: 100 }, exec);
    await vi.advanceTimersByTimeAsync(99);
    expect(begun).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(begun).toEqual([1]);
  });

  it("lets a fault wait for the one that is on its path", async () => {
    const { begun, heals, log } = struckSystem();
    log.plan({ ...fault, id: 1, afterMs: 0 }, exec);
    log.plan({ ...fault, id: 2, afterMs: 10 }, exec);
    log.plan({ ...fault, id: 3, afterMs: 10 }, { ...exec, sandbox: exec.sandbox + 1 });
    await vi.advanceTimersByTimeAsync(50);
    expect(begun).toEqual([1, 3]);
    heals[0]?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(begun).toEqual([1, 3, 2]);
  });

  it("strikes nobody after the last exec, not even with what only waited for its path", async () => {
    const { begun, heals, log } = struckSystem();
    log.plan({ ...fault, id: 1, afterMs: 0 }, exec);
    log.plan({ ...fault, id: 2, afterMs: 10 }, exec);
    log.plan({ ...fault, id: 3, afterMs: 30_000 }, exec);
    await vi.advanceTimersByTimeAsync(50);
    const ended = log.end();
    heals[0]?.();
    await ended;
    expect(vi.getTimerCount()).toBe(0);
    expect(begun).toEqual([1]);
    expect(log.strikes).toMatchObject([{ fault: { id: 1 }, wellMs: expect.any(Number) as number }]);
  });
});
