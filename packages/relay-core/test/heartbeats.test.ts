import { describe, expect, it } from "vitest";
import { exchangeHeartbeats } from "../src/index.ts";
import type { HeartbeatLimits } from "../src/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";
import { PolledClock } from "./support/polled-clock.ts";
import { isSettled, rejection } from "../src/testing/index.ts";

function exchange(limits: HeartbeatLimits = { intervalMs: 10_000, missed: 3 }) {
  const clock = new PolledClock();
  const caller = new AbortController();
  const peer = { messages: 0, sentAtMs: [] as number[] };
  const running = exchangeHeartbeats(
    {
      name: "supervisor sb",
      received: () => peer.messages,
      send: () => peer.sentAtMs.push(clock.now()),
    },
    limits,
    clock,
    { signal: caller.signal },
  );
  running.catch(() => {}); // each test looks at it in its own time
  return { clock, caller, peer, running };
}

describe("exchangeHeartbeats", () => {
  it("sends the first heartbeat at once and one after each interval", async () => {
    const { clock, peer, running } = exchange();
    for (let time = 0; time < 6; time += 1) {
      peer.messages += 1;
      await clock.advance(10_000);
    }
    expect(peer.sentAtMs).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => n * 10_000));
    expect(await isSettled(running)).toBe(false);
  });

  it("ends a peer that has missed three, within one tick, and sends nothing more", async () => {
    const { clock, peer, running } = exchange();
    await clock.advance(31_499);
    expect(await isSettled(running)).toBe(false);
    await clock.advance(1);
    await expect(running).rejects.toMatchObject({
      kind: "session_lost",
      message: "supervisor sb: no heartbeat within 30000 ms",
    });
    await clock.advance(60_000);
    expect(peer.sentAtMs).toHaveLength(4);
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes any message for progress", async () => {
    const { clock, peer, running } = exchange();
    for (let time = 0; time < 100; time += 1) {
      await clock.advance(29_999);
      peer.messages += 1;
    }
    expect(await isSettled(running)).toBe(false);
    await clock.advance(31_500);
    await expect(running).rejects.toMatchObject({ kind: "session_lost" });
  });

  it.each([1, 2, 5])("grants %i missed heartbeats where that is the limit", async (missed) => {
    const { clock, running } = exchange({ intervalMs: 1_000, missed });
    await clock.advance(1_000 * missed);
    expect(await isSettled(running)).toBe(false);
    await clock.advance(50 * missed);
    await expect(running).rejects.toMatchObject({ kind: "session_lost" });
  });

  it("sends none and expects none with an interval of 0", async () => {
    const { clock, peer, running } = exchange({ intervalMs: 0, missed: 3 });
    await expect(running).resolves.toBeUndefined();
    expect(peer.sentAtMs).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("expects none, but sends, with a limit of 0 missed", async () => {
    const { clock, peer, running } = exchange({ intervalMs: 10_000, missed: 0 });
    await clock.advance(1_000_000);
    expect(peer.sentAtMs).toHaveLength(101);
    expect(await isSettled(running)).toBe(false);
  });

  it("ends with the abort's reason and leaves no timer", async () => {
    const { clock, caller, running } = exchange();
    await clock.advance(15_000);
    const reason = new Error("shutdown");
    caller.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(caller.signal)).toBe(0);
  });

  it("sends nothing on a session that has ended before", async () => {
    const clock = new PolledClock();
    const reason = new Error("gone");
    let sent = 0;
    const peer = { name: "peer", received: () => 0, send: () => (sent += 1) };
    const limits = { intervalMs: 10_000, missed: 3 };
    const signal = AbortSignal.abort(reason);
    await expect(exchangeHeartbeats(peer, limits, clock, { signal })).rejects.toBe(reason);
    expect(sent).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("fails as sending fails and leaves no timer", async () => {
    const clock = new PolledClock();
    const failure = new Error("outbox full");
    let sent = 0;
    const peer = {
      name: "peer",
      received: () => 0,
      send() {
        sent += 1;
        if (sent === 2) throw failure;
      },
    };
    const { signal } = new AbortController();
    const running = exchangeHeartbeats(peer, { intervalMs: 10_000, missed: 3 }, clock, { signal });
    const failed = rejection(running);
    await clock.advance(10_000);
    expect(await failed).toBe(failure);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([30_000, 3_600_000])(
    "does not convict a peer whose messages wait behind a blocked loop of %i ms",
    async (blockedMs) => {
      const { clock, peer, running } = exchange();
      for (let time = 0; time < 30; time += 1) {
        clock.arrives(() => (peer.messages += 1));
        await clock.block(blockedMs);
      }
      expect(await isSettled(running)).toBe(false);
    },
  );
});
