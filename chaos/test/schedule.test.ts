import { describe, expect, it } from "vitest";
import { labConfig } from "../adapters/lab-config.ts";
import { touches } from "../faults/fault.ts";
import { everyFault } from "../faults/schedule.ts";
import { limitMs } from "../oracles/bounds.ts";
import { onlyExec, planRun } from "../run/plan-run.ts";
import { everyWork } from "../work/plan.ts";
import type { PlannedExec } from "../work/plan.ts";
import { exec, fault, strike } from "./support/evidence.ts";

const options = { seed: 3, execs: 4_000, sandboxes: 8, config: labConfig };

describe("planRun", () => {
  it("gives the same work and the same faults for the same seed", () => {
    expect(planRun(options)).toEqual(planRun(options));
  });

  it("gives others for another seed", () => {
    const other = planRun({ ...options, seed: 4 });
    expect(other.execs).not.toEqual(planRun(options).execs);
    expect(other.faults).not.toEqual(planRun(options).faults);
  });

  it("begins a longer run as the shorter one", () => {
    const { execs, faults } = planRun({ ...options, execs: 100 });
    const longer = planRun(options);
    expect(longer.execs.slice(0, 100)).toEqual(execs);
    expect(longer.faults.slice(0, faults.length)).toEqual(faults);
  });

  it("has every kind of work and every kind of fault", () => {
    const { execs, faults } = planRun(options);
    expect(new Set(execs.map(({ work }) => work.kind))).toEqual(new Set(Object.keys(everyWork)));
    expect(new Set(faults.map(({ kind }) => kind))).toEqual(new Set(Object.keys(everyFault)));
  });

  it("gives one exec alone the faults that struck it", () => {
    const plan = planRun(options);
    const alone = onlyExec(plan, 17, [{ id: 5, afterMs: 120 }]);
    expect(alone.execs).toEqual([{ ...plan.execs[17], sandbox: 0 }]);
    expect(alone.faults).toEqual([{ ...plan.faults[5], exec: 17, afterMs: 120 }]);
  });
});

describe("touches", () => {
  const life = { sandbox: 1, startedMs: 1_000, endedMs: 2_000 };

  it.each([
    ["before it", { startedMs: 100, wellMs: 900 }, false],
    ["until into it", { startedMs: 100, wellMs: 1_001 }, true],
    ["within it", { startedMs: 1_500, wellMs: 1_600 }, true],
    ["after it", { startedMs: 2_001, wellMs: 2_500 }, false],
    ["never over", { startedMs: 500 }, true],
    ["elsewhere", { startedMs: 1_500, wellMs: 1_600, sandbox: 2 }, false],
    ["on everyone", { startedMs: 1_500, wellMs: 1_600, sandbox: undefined }, true],
    ["not injected", { startedMs: 1_500, wellMs: 1_600, skipped: "no such fault here" }, false],
  ] as const)("tells a fault %s", (_when, change, expected) => {
    const { wellMs: _wellMs, ...rest } = strike;
    expect(touches({ ...rest, ...change }, life)).toBe(expected);
  });
});

describe("what goes through the client", () => {
  it("is a share of the execs, the same for the same seed, and changes nothing else", () => {
    const plan = (clientShare: number) => planRun({ ...options, clientShare });
    const some = plan(0.3);
    const through = some.execs.filter(({ via }) => via === "client").length;
    expect(through / options.execs).toBeCloseTo(0.3, 1);
    expect(plan(0.3)).toEqual(some);
    const none = plan(0);
    expect(none.faults).toEqual(some.faults);
    expect(some.execs.map((one) => ({ ...one, via: "exec-sandbox" }))).toEqual(none.execs);
  });
});

describe("limitMs", () => {
  const plain = { ...labConfig, form: "plain" as const };
  const wedge = { ...strike, fault: { ...fault, kind: "ssh-wedge" as const } };
  const sshMs = labConfig.sshKeepaliveIntervalMs * labConfig.sshKeepaliveMissed;
  const limit = (strikes: Parameters<typeof limitMs>[1], isRunning = true) =>
    limitMs(exec, strikes, plain, { isRunning });
  const durable = (strikes: Parameters<typeof limitMs>[1], change: Partial<PlannedExec> = {}) =>
    limitMs({ ...exec, ...change }, strikes, labConfig, { isRunning: true });

  it("grows by what the backstop of the fault promises", () => {
    expect(limit([wedge]) - limit([])).toBe(sshMs);
    expect(limit([wedge, wedge])).toBe(limit([wedge]));
  });

  it("grows by the search for a lost way of a durable exec, for each fault", () => {
    const pause = sshMs + labConfig.resumeWindowMs;
    expect(durable([wedge]) - durable([])).toBe(pause);
    expect(durable([wedge, wedge]) - durable([])).toBe(2 * pause);
    expect(durable([wedge], { via: "client" })).toBeGreaterThan(durable([wedge]));
  });

  it("has no search for a way that is only slow", () => {
    const slow = { ...strike, fault: { ...fault, kind: "throttle" as const, durationMs: 700 } };
    expect(durable([slow]) - durable([])).toBe(700);
  });

  it("has the confirmed end of a cancel only through the client, which waits for it", () => {
    const cancel = { caller: { cancelAfterMs: 5 } };
    expect(durable([], cancel)).toBe(durable([]));
    expect(durable([], { ...cancel, via: "client" })).toBeGreaterThan(durable([]));
  });

  it("does not wait out a fault that has to be noticed earlier", () => {
    const hole = (durationMs: number) => [
      { ...strike, fault: { ...fault, kind: "black-hole" as const, durationMs } },
    ];
    expect(limit(hole(60_000))).toBe(limit(hole(10_000)));
  });

  it("has the waits of a start only for what has not started", () => {
    expect(limit([strike], false)).toBeGreaterThan(limit([strike], true));
  });
});
