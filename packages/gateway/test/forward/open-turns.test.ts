import { BelayError } from "@belay/protocol";
import { ManualClock, isSettled, rejection } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { OpenTurns } from "../../src/forward/open-turns.ts";
import { never, testLimits } from "../support/test-limits.ts";

function scene(forwardsOpeningPerSandbox = 1) {
  const clock = new ManualClock();
  return { clock, turns: new OpenTurns(testLimits({ forwardsOpeningPerSandbox }), clock) };
}

describe("OpenTurns", () => {
  it("lets a few of a sandbox go at once, and the others in the order in which they came", async () => {
    const { turns, clock } = scene(2);
    const [first, second] = [
      await turns.take("sb-1", { signal: never }),
      await turns.take("sb-1", { signal: never }),
    ];
    const third = turns.take("sb-1", { signal: never });
    const fourth = turns.take("sb-1", { signal: never });
    expect(await isSettled(third)).toBe(false);
    second[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    const last = await fourth;
    first[Symbol.dispose]();
    last[Symbol.dispose]();
    expect(clock.pendingTimers).toBe(0);
  });

  it("keeps a line for each sandbox", async () => {
    const { turns } = scene();
    await turns.take("sb-1", { signal: never });
    expect(await isSettled(turns.take("sb-1", { signal: never }))).toBe(false);
    expect(await isSettled(turns.take("sb-2", { signal: never }))).toBe(true);
  });

  it("leaves half of a sandbox's pending relays to its execs by default", () => {
    const { forwardsOpeningPerSandbox, pendingRelaysPerSandbox } = testLimits();
    expect(forwardsOpeningPerSandbox * 2).toBeLessThanOrEqual(pendingRelaysPerSandbox);
  });

  it("gives up at the limit, and its place to the next", async () => {
    const { turns, clock } = scene();
    const held = await turns.take("sb-1", { signal: never });
    const late = rejection(turns.take("sb-1", { signal: never }));
    await clock.advance(9_999);
    const next = turns.take("sb-1", { signal: never });
    await clock.advance(1);
    expect(await late).toMatchObject({
      kind: "relay_open_timeout",
      message: "relay open timed out",
      outcome: "not_started",
    });
    held[Symbol.dispose]();
    await next;
  });

  it("passes the turn on when the one who was called is gone in that moment", async () => {
    const { turns } = scene();
    const held = await turns.take("sb-1", { signal: never });
    const caller = new AbortController();
    const gone = rejection(turns.take("sb-1", { signal: caller.signal }));
    const next = turns.take("sb-1", { signal: never });
    held[Symbol.dispose]();
    caller.abort(new BelayError("canceled", "gone"));
    expect(await gone).toMatchObject({ kind: "canceled" });
    await next;
  });
});
