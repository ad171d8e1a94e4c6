import { describe, expect, it } from "vitest";
import { backoffMs, failuresAfter } from "../src/index.ts";
import { integerBetween, seededRandom } from "../src/testing/index.ts";

const limits = { minMs: 100, maxMs: 10_000 };
const almostOne = 1 - Number.EPSILON;

describe("backoffMs", () => {
  it.each([
    [0, 100],
    [1, 200],
    [2, 400],
    [3, 800],
    [6, 6_400],
    [7, 10_000],
    [8, 10_000],
    [1_000_000, 10_000],
  ])("after %i failures in a row stays below %i ms", (failures, boundMs) => {
    expect(backoffMs(failures, limits, almostOne)).toBe(boundMs - 1);
    expect(backoffMs(failures, limits, 0.5)).toBe(boundMs / 2);
    expect(backoffMs(failures, limits, 0)).toBe(0);
  });

  it("gives whole milliseconds within the bounds for any limits, failures and luck", () => {
    const random = seededRandom(1);
    for (let round = 0; round < 5_000; round += 1) {
      const minMs = integerBetween(1, 1_000, random);
      const maxMs = minMs + integerBetween(0, 100_000, random);
      const failures = integerBetween(0, 100, random);
      const delayMs = backoffMs(failures, { minMs, maxMs }, random());
      expect(delayMs).toSatisfy(Number.isInteger);
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThan(Math.min(maxMs, minMs * 2 ** failures));
    }
  });

  it("spreads peers that failed together over the whole span", () => {
    const random = seededRandom(2);
    const delays = Array.from({ length: 1_000 }, () => backoffMs(20, limits, random()));
    for (let from = 0; from < limits.maxMs; from += 1_000) {
      const inSpan = delays.filter((delayMs) => delayMs >= from && delayMs < from + 1_000);
      expect(inSpan.length).toBeGreaterThan(50);
    }
  });

  it("never exceeds the longest delay when that is shorter than the first", () => {
    expect(backoffMs(0, { minMs: 500, maxMs: 50 }, almostOne)).toBe(49);
  });
});

describe("failuresAfter", () => {
  it("starts again at 0 after a session that lasted as long as the longest delay", () => {
    expect(failuresAfter(12, 10_000, limits)).toBe(0);
    expect(failuresAfter(12, 3_600_000, limits)).toBe(0);
  });

  it("counts a session that ended sooner as one more failure", () => {
    expect(failuresAfter(12, 9_999.9, limits)).toBe(13);
    expect(failuresAfter(0, 0, limits)).toBe(1);
  });

  it("slows down a peer that accepts every session and drops it at once", () => {
    let failures = 0;
    const bounds = [];
    for (let session = 0; session < 9; session += 1) {
      bounds.push(backoffMs(failures, limits, almostOne) + 1);
      failures = failuresAfter(failures, 20, limits);
    }
    expect(bounds).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  });
});
