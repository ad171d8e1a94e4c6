import { describe, expect, it } from "vitest";
import { watchLiveness } from "../src/index.ts";
import type { LivenessLimits } from "../src/index.ts";
import { livenessTickMs } from "../src/liveness.ts";
import { PolledClock } from "./support/polled-clock.ts";
import { integerBetween, seededRandom, seeds } from "../src/testing/index.ts";

const ssh = { probeEveryMs: 15_000, deadAfterMs: 45_000 };
const http2 = { probeEveryMs: 10_000, deadAfterMs: 20_000 };
const forms = [
  ["SSH", ssh],
  ["HTTP/2", http2],
  ["seed HTTP/2", { probeEveryMs: 20_000, deadAfterMs: 30_000 }],
  ["seed SSH", { probeEveryMs: 15_000, deadAfterMs: 75_000 }],
] as const;

function watched(limits: LivenessLimits, { onProbe = () => {} } = {}) {
  const clock = new PolledClock();
  const peer = { bytes: 0, probesAtMs: [] as number[], deadAtMs: [] as number[] };
  const watch = watchLiveness(
    {
      seen: () => peer.bytes,
      probe() {
        peer.probesAtMs.push(clock.now());
        onProbe();
      },
      onDead: () => peer.deadAtMs.push(clock.now()),
    },
    limits,
    clock,
  );
  return { clock, peer, watch };
}

describe("watchLiveness", () => {
  it.each(forms)(
    "asks a silent peer, then ends it within bound + one tick: %s",
    async (_, limits) => {
      const { clock, peer } = watched(limits);
      const tickMs = livenessTickMs(limits);
      await clock.advance(limits.deadAfterMs + tickMs - 1);
      expect(peer.deadAtMs).toEqual([]);
      expect(peer.probesAtMs[0]).toBe(limits.probeEveryMs + tickMs);
      expect(peer.probesAtMs).toHaveLength(Math.ceil(limits.deadAfterMs / limits.probeEveryMs) - 1);
      await clock.advance(1);
      expect(peer.deadAtMs).toEqual([limits.deadAfterMs + tickMs]);
    },
  );

  it.each(seeds(50))(
    "ends a peer within bound + one tick of its last byte (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { clock, peer } = watched(http2);
      await clock.advance(integerBetween(1, 60_000, random) % 19_000);
      peer.bytes += 1;
      const lastByteMs = clock.now();
      await clock.advance(60_000);
      expect(peer.deadAtMs).toHaveLength(1);
      expect(peer.deadAtMs[0]! - lastByteMs).toBeGreaterThanOrEqual(20_000);
      expect(peer.deadAtMs[0]! - lastByteMs).toBeLessThanOrEqual(20_500);
    },
  );

  it("says once that a peer is dead, and is over then", async () => {
    const { clock, peer } = watched(http2);
    await clock.advance(3_600_000);
    expect(peer.deadAtMs).toHaveLength(1);
    expect(peer.probesAtMs).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps a peer whose only sign of life is one byte in answer to each probe", async () => {
    const { clock, peer } = watched(http2, { onProbe: () => (peer.bytes += 1) });
    await clock.advance(3_600_000);
    expect(peer.deadAtMs).toEqual([]);
    expect(peer.probesAtMs.length).toBeGreaterThan(300);
  });

  it("does not ask a peer that keeps sending", async () => {
    const { clock, peer } = watched(http2);
    for (let second = 0; second < 600; second += 9) {
      peer.bytes += 1;
      await clock.advance(9_000);
    }
    expect(peer.probesAtMs).toEqual([]);
    expect(peer.deadAtMs).toEqual([]);
  });

  it.each([500, 20_000, 86_400_000])(
    "does not convict a peer whose answer waits behind a blocked loop of %i ms, at any moment",
    async (blockedMs) => {
      for (let silentTicks = 0; silentTicks <= 40; silentTicks += 1) {
        const { clock, peer, watch } = watched(http2);
        await clock.advance(500 * silentTicks + 499);
        clock.arrives(() => (peer.bytes += 1));
        await clock.block(blockedMs);
        expect(peer.deadAtMs).toEqual([]);
        await clock.advance(19_999);
        expect(peer.deadAtMs).toEqual([]);
        watch.stop();
      }
    },
  );

  it("does not convict an answering peer although its own loop is blocked again and again", async () => {
    const { clock, peer } = watched(http2, {
      onProbe: () => clock.arrives(() => (peer.bytes += 1)),
    });
    for (let time = 0; time < 200; time += 1) await clock.block(60_000);
    expect(peer.probesAtMs.length).toBeGreaterThan(5);
    expect(peer.deadAtMs).toEqual([]);
  });

  it("still convicts a dead peer when its own loop is blocked again and again", async () => {
    const { clock, peer } = watched(http2);
    for (let time = 0; time < 41; time += 1) await clock.block(60_000);
    expect(peer.deadAtMs).toHaveLength(1);
  });

  it("does nothing when both limits are 0", async () => {
    const { clock, peer, watch } = watched({ probeEveryMs: 0, deadAfterMs: 0 });
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(86_400_000);
    expect(peer).toMatchObject({ probesAtMs: [], deadAtMs: [] });
    watch.stop();
  });

  it("asks for ever where the dead limit is 0", async () => {
    const { clock, peer } = watched({ probeEveryMs: 15_000, deadAfterMs: 0 });
    await clock.advance(15_000 * 100 + 750);
    expect(peer.probesAtMs).toHaveLength(100);
    expect(peer.deadAtMs).toEqual([]);
  });

  it("convicts without asking where the probe limit is 0, or nobody can be asked", async () => {
    for (const probeEveryMs of [0, 10_000]) {
      const clock = new PolledClock();
      let dead = 0;
      const peer = { seen: () => 0, onDead: () => (dead += 1) };
      watchLiveness(peer, { probeEveryMs, deadAfterMs: 30_000 }, clock);
      await clock.advance(31_500);
      expect(dead).toBe(1);
    }
  });

  it("is over after stop(), which may be called twice", async () => {
    const { clock, peer, watch } = watched(ssh);
    await clock.advance(10_000);
    watch.stop();
    watch.stop();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(86_400_000);
    expect(peer).toMatchObject({ probesAtMs: [], deadAtMs: [] });
  });

  it("is over when stop() is called from a probe", async () => {
    const stopNow = () => watch.stop();
    const { clock, peer, watch } = watched(ssh, { onProbe: stopNow });
    await clock.advance(86_400_000);
    expect(peer.probesAtMs).toHaveLength(1);
    expect(peer.deadAtMs).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("convicts nobody when it is stopped while it looks for a last answer", async () => {
    const { clock, peer, watch } = watched(http2);
    await clock.advance(20_000);
    clock.arrives(watch.stop);
    await clock.advance(86_400_000);
    expect(peer.deadAtMs).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });
});
