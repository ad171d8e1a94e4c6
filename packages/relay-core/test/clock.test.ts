import { once } from "node:events";
import { createServer, connect } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { sleep, systemClock } from "../src/index.ts";
import { ManualClock, isSettled } from "../src/testing/index.ts";
import { abortListeners } from "./support/abort-listeners.ts";

describe("sleep", () => {
  it("resolves after the delay, not before, and leaves nothing behind", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const sleeping = sleep(100, clock, signal);
    await clock.advance(99);
    expect(await isSettled(sleeping)).toBe(false);
    await clock.advance(1);
    await sleeping;
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(signal)).toBe(0);
  });

  it("throws the abort's reason and cancels its timer", async () => {
    const clock = new ManualClock();
    const caller = new AbortController();
    const sleeping = sleep(100, clock, caller.signal);
    const reason = new Error("gone");
    caller.abort(reason);
    await expect(sleeping).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    expect(abortListeners(caller.signal)).toBe(0);
  });

  it("does not begin when the signal has aborted already", async () => {
    const clock = new ManualClock();
    const reason = new Error("gone");
    await expect(sleep(100, clock, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("systemClock", () => {
  function withFakeTimers(test: (firedAfter: (delayMs: number) => () => number) => void) {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      test((delayMs) => {
        let fired = 0;
        systemClock.setTimer(delayMs, () => (fired += 1));
        return () => fired;
      });
    } finally {
      vi.useRealTimers();
    }
  }

  it.each([1, 500, 2 ** 31 - 1, 2 ** 31, 4_294_967_295_000])(
    "fires once after %i ms, and not before",
    (delayMs) => {
      withFakeTimers((firedAfter) => {
        const fired = firedAfter(delayMs);
        vi.advanceTimersByTime(delayMs - 1);
        expect(fired()).toBe(0);
        vi.advanceTimersByTime(1);
        expect(fired()).toBe(1);
        expect(vi.getTimerCount()).toBe(0);
      });
    },
  );

  it("never fires after Infinity", () => {
    withFakeTimers((firedAfter) => {
      const fired = firedAfter(Infinity);
      vi.advanceTimersByTime(2 ** 33);
      expect(fired()).toBe(0);
    });
  });

  it.each([0, 2 ** 31])("cancels a long timer %i ms after its start", (elapsedMs) => {
    withFakeTimers(() => {
      const timer = systemClock.setTimer(2 ** 33, () => expect.unreachable());
      vi.advanceTimersByTime(elapsedMs);
      timer.cancel();
      timer.cancel();
      expect(vi.getTimerCount()).toBe(0);
    });
  });

  it("keeps no process alive by a pending timer", () => {
    const started = vi.spyOn(globalThis, "setTimeout");
    systemClock.setTimer(60_000, () => {}).cancel();
    const [timer] = started.mock.results.map((result) => result.value as NodeJS.Timeout);
    started.mockRestore();
    expect(timer?.hasRef()).toBe(false);
  });

  it("counts monotonic milliseconds", () => {
    const before = systemClock.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    expect(Math.abs(systemClock.now() - performance.now())).toBeLessThan(1_000);
  });

  it.each(["a timer", "an immediate", "an I/O callback"])(
    "has read a byte that already waits when pollIo resolves, asked from %s",
    async (phase) => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address() as { port: number };
      const near = connect(address.port, "127.0.0.1");
      const [far] = (await once(server, "connection")) as [typeof near];
      let read = "";
      near.on("data", (data) => (read += data.toString()));
      await new Promise<void>((resolve) => {
        if (phase === "a timer") setTimeout(resolve, 0);
        else if (phase === "an immediate") setImmediate(resolve);
        else {
          far.once("data", () => resolve());
          near.write("go");
        }
      });
      far.write("answer"); // is in the kernel of the same machine when this returns
      await systemClock.pollIo();
      expect(read).toBe("answer");
      near.destroy();
      far.destroy();
      server.close();
    },
  );
});
