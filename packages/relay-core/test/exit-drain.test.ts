import { describe, expect, it } from "vitest";
import { exitDrainWaitMs, initialExitDrain } from "../src/index.ts";
import type { ExitDrainState } from "../src/index.ts";
import { integerBetween, seededRandom, seeds } from "../src/testing/index.ts";

const limits = { quietMs: 250, totalMs: 2_000, ownBytes: 65_536 };
const state = (known: Partial<ExitDrainState>) => ({ ...initialExitDrain, ...known });

describe("exitDrainWaitMs", () => {
  it("waits the quiet time for the first byte after the exit", () => {
    expect(exitDrainWaitMs(initialExitDrain, limits)).toBe(250);
  });

  it.each([
    [1_749, 250],
    [1_750, 250],
    [1_751, 249],
    [1_999, 1],
    [2_000, 0],
    [2_500, 0],
  ])("after %i ms of waiting waits %i ms more", (waitedMs, waitMs) => {
    expect(exitDrainWaitMs(state({ waitedMs, elapsedMs: waitedMs }), limits)).toBe(waitMs);
  });

  it("reads on for a slow reader, for as long as the process's own output may be on the way", () => {
    const slow = state({ elapsedMs: 3_600_000, bytes: 65_535 });
    expect(exitDrainWaitMs(slow, limits)).toBe(250);
  });

  it("cuts a grandchild that writes without a pause, once the process's own output has passed", () => {
    expect(exitDrainWaitMs(state({ elapsedMs: 2_000, bytes: 65_536 }), limits)).toBe(0);
  });

  it("listens to a fast writer until the total time, however much it writes", () => {
    expect(exitDrainWaitMs(state({ elapsedMs: 1_999, bytes: 10_000_000 }), limits)).toBe(250);
  });

  it("stops at once when no quiet time is granted", () => {
    expect(exitDrainWaitMs(initialExitDrain, { ...limits, quietMs: 0 })).toBe(0);
  });

  it("never waits longer than the quiet time or what is left of the total", () => {
    const random = seededRandom(3);
    for (let round = 0; round < 5_000; round += 1) {
      const waitedMs = random() * 3_000;
      const elapsedMs = waitedMs + random() * 3_000;
      const bytes = integerBetween(0, 200_000, random);
      const waitMs = exitDrainWaitMs({ waitedMs, elapsedMs, bytes }, limits);
      expect(waitMs).toBeGreaterThanOrEqual(0);
      expect(waitMs).toBeLessThanOrEqual(Math.max(0, Math.min(250, 2_000 - waitedMs)));
    }
  });

  it.each(seeds(20))(
    "waits no more than the total, whatever a grandchild does (seed %i)",
    (seed) => {
      const random = seededRandom(seed);
      let drain = initialExitDrain;
      for (let round = 0; ; round += 1) {
        expect(round).toBeLessThan(100_000);
        const waitMs = exitDrainWaitMs(drain, limits);
        if (waitMs === 0) break;
        const waitedMs = random() * waitMs; // a byte comes before the wait is over
        drain = {
          waitedMs: drain.waitedMs + waitedMs,
          elapsedMs: drain.elapsedMs + waitedMs + random() * 5, // and our reader takes its time
          bytes: drain.bytes + integerBetween(1, 4_096, random),
        };
      }
      expect(drain.waitedMs).toBeLessThanOrEqual(2_000);
    },
  );

  it("takes all that a full pipe held at the exit, however slow the reader", () => {
    let drain = initialExitDrain;
    for (let left = 65_536; left > 0; left -= 1_024) {
      expect(exitDrainWaitMs(drain, limits)).toBeGreaterThan(0);
      drain = { ...drain, elapsedMs: drain.elapsedMs + 60_000, bytes: drain.bytes + 1_024 };
    }
    expect(exitDrainWaitMs(drain, limits)).toBe(0);
  });
});
