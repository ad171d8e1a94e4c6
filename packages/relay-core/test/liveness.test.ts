import { describe, expect, it } from "vitest";
import { initialLiveness, livenessTickMs, onLivenessTick } from "../src/liveness.ts";
import type { LivenessLimits } from "../src/index.ts";
import { integerBetween, seededRandom, seeds } from "../src/testing/index.ts";

interface Verdicts {
  readonly probesAtMs: number[];
  readonly deadAtMs: number | undefined;
}

/** What happens to a peer that is silent from the first look on; times are milliseconds of silence. */
function silence(limits: LivenessLimits, { forMs }: { forMs: number }): Verdicts {
  const tickMs = livenessTickMs(limits);
  const probesAtMs: number[] = [];
  let { state } = onLivenessTick(initialLiveness, { seen: 7, elapsedMs: tickMs }, limits);
  for (let tick = 1; tick * tickMs <= forMs; tick += 1) {
    const step = onLivenessTick(state, { seen: 7, elapsedMs: tickMs }, limits);
    state = step.state;
    if (step.verdict === "dead") return { probesAtMs, deadAtMs: tick * tickMs };
    if (step.verdict === "probe") probesAtMs.push(tick * tickMs);
  }
  return { probesAtMs, deadAtMs: undefined };
}

describe("the liveness rule", () => {
  it.each([
    ["SSH", { probeEveryMs: 15_000, deadAfterMs: 45_000 }, [15_000, 30_000], 45_000],
    ["HTTP/2", { probeEveryMs: 10_000, deadAfterMs: 20_000 }, [10_000], 20_000],
    ["seed HTTP/2", { probeEveryMs: 20_000, deadAfterMs: 30_000 }, [20_000], 30_000],
    [
      "seed SSH",
      { probeEveryMs: 15_000, deadAfterMs: 75_000 },
      [15_000, 30_000, 45_000, 60_000],
      75_000,
    ],
    ["heartbeat", { probeEveryMs: 0, deadAfterMs: 30_000 }, [], 30_000],
    ["shortest", { probeEveryMs: 5, deadAfterMs: 15 }, [5, 10], 15],
  ])("asks and convicts on time in its %s form", (_form, limits, probesAtMs, deadAtMs) => {
    expect(silence(limits, { forMs: 3_600_000 })).toEqual({ probesAtMs, deadAtMs });
  });

  it("never convicts where only asking is switched on", () => {
    const limits = { probeEveryMs: 10_000, deadAfterMs: 0 };
    const { probesAtMs, deadAtMs } = silence(limits, { forMs: 100_000 });
    expect(deadAtMs).toBeUndefined();
    expect(probesAtMs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => n * 10_000));
  });

  it("neither asks nor convicts when both are switched off", () => {
    const limits = { probeEveryMs: 0, deadAfterMs: 0 };
    expect(silence(limits, { forMs: 100_000 })).toEqual({ probesAtMs: [], deadAtMs: undefined });
  });

  it("never asks a peer that dies before it would be asked", () => {
    const limits = { probeEveryMs: 45_000, deadAfterMs: 15_000 };
    expect(silence(limits, { forMs: 60_000 })).toEqual({ probesAtMs: [], deadAtMs: 15_000 });
  });

  it("takes one byte, at any moment of the silence, for a sign of life", () => {
    const limits = { probeEveryMs: 15_000, deadAfterMs: 45_000 };
    const tickMs = livenessTickMs(limits);
    for (let quietTicks = 0; quietTicks < 60; quietTicks += 1) {
      let { state } = onLivenessTick(initialLiveness, { seen: 0, elapsedMs: tickMs }, limits);
      for (let tick = 0; tick < quietTicks; tick += 1) {
        state = onLivenessTick(state, { seen: 0, elapsedMs: tickMs }, limits).state;
      }
      const step = onLivenessTick(state, { seen: 1, elapsedMs: tickMs }, limits);
      expect(step).toEqual({ state: { seen: 1, silentMs: 0, probes: 0 }, verdict: "alive" });
    }
  });

  it("looks at a peer for the first time without holding the time before against it", () => {
    const limits = { probeEveryMs: 10, deadAfterMs: 20 };
    const first = onLivenessTick(initialLiveness, { seen: 0, elapsedMs: 1e9 }, limits);
    expect(first).toEqual({ state: { seen: 0, silentMs: 0, probes: 0 }, verdict: "alive" });
  });

  it.each([1, 10, 1_000, 3_600_000, Number.MAX_SAFE_INTEGER])(
    "counts a stall of our own of %i ticks as one tick",
    (ticks) => {
      const limits = { probeEveryMs: 10_000, deadAfterMs: 20_000 };
      const tickMs = livenessTickMs(limits);
      const { state } = onLivenessTick(initialLiveness, { seen: 0, elapsedMs: tickMs }, limits);
      const stalled = onLivenessTick(state, { seen: 0, elapsedMs: tickMs * ticks }, limits);
      expect(stalled).toEqual({ state: { ...state, silentMs: tickMs }, verdict: "alive" });
    },
  );

  it.each(seeds(200))("convicts a silent peer within two ticks of any bound (seed %i)", (seed) => {
    const random = seededRandom(seed);
    const deadAfterMs = integerBetween(5, 120_000, random);
    const probeEveryMs = random() < 0.2 ? 0 : integerBetween(5, deadAfterMs, random);
    const limits = { probeEveryMs, deadAfterMs };
    const tickMs = livenessTickMs(limits);
    const { deadAtMs, probesAtMs } = silence(limits, { forMs: deadAfterMs * 2 });
    expect(deadAtMs).toBeGreaterThanOrEqual(deadAfterMs - 1e-6);
    expect(deadAtMs).toBeLessThanOrEqual(deadAfterMs + tickMs + 1e-6);
    for (const [index, atMs] of probesAtMs.entries()) {
      expect(atMs).toBeGreaterThanOrEqual(probeEveryMs * (index + 1) - 1e-6);
    }
  });

  it.each(seeds(50))(
    "leaves a peer alone that says something every few ticks (seed %i)",
    (seed) => {
      const random = seededRandom(seed);
      const limits = { probeEveryMs: 10_000, deadAfterMs: 20_000 };
      const tickMs = livenessTickMs(limits);
      let state = initialLiveness;
      let seen = 0;
      for (let tick = 0; tick < 2_000; tick += 1) {
        if (tick % 19 === 0) seen += integerBetween(1, 100, random);
        const elapsedMs = random() < 0.1 ? tickMs * random() * 10_000 : tickMs;
        const step = onLivenessTick(state, { seen, elapsedMs }, limits);
        state = step.state;
        expect(step.verdict).toBe("alive");
      }
    },
  );
});

describe("livenessTickMs", () => {
  it.each([
    [15_000, 45_000, 750],
    [10_000, 20_000, 500],
    [20_000, 30_000, 1_000],
    [15_000, 75_000, 750],
    [0, 30_000, 1_500],
    [15_000, 0, 750],
    [60, 10, 5],
    [0, 0, 5],
  ])("looks at {%i, %i} every %i ms", (probeEveryMs, deadAfterMs, tickMs) => {
    expect(livenessTickMs({ probeEveryMs, deadAfterMs })).toBe(tickMs);
  });
});
