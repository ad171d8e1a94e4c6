import { describe, expect, it } from "vitest";
import {
  pauseMs,
  wayAnswered,
  wayLost,
  wayProgressed,
  windowLeftMs,
} from "../../../src/exec/durable/resume-window.ts";
import type { WayState } from "../../../src/exec/durable/resume-window.ts";

const first: WayState = { is: "first" };
const almostOne = 0.999;

describe("the resume window", () => {
  it("counts from the loss, however many ways fail after it", () => {
    let lost = wayLost(wayAnswered(first, 0), 5_000);
    lost = wayLost(lost, 20_000);
    const left = (nowMs: number) =>
      windowLeftMs(lost, { limits: { resumeWindowMs: 30_000 }, clock: { now: () => nowMs } });
    expect([left(20_000), left(35_000), left(36_000)]).toEqual([15_000, 0, 0]);
  });

  it("begins anew with the loss of a way that was of use: it lasted, or brought something", () => {
    const found = wayAnswered(wayLost(wayAnswered(first, 0), 5_000), 6_000);
    expect(wayLost(found, 7_000).sinceMs).toBe(7_000);
    expect(wayLost(wayProgressed(found), 6_001).sinceMs).toBe(6_001);
  });

  it("goes on with the loss of a way that answered and was of no use: such ways may come for ever", () => {
    let lost = wayLost(wayAnswered(first, 0), 5_000);
    for (let nowMs = 6_000; nowMs < 20_000; nowMs += 1_000) {
      lost = wayLost(wayAnswered(lost, nowMs), nowMs + 999);
    }
    expect(lost.sinceMs).toBe(5_000);
  });

  it("has the first try at once, and the others ever later, up to a second", () => {
    let lost = wayLost(wayAnswered(first, 0), 60_000);
    const pauses = [];
    for (let tries = 0; tries < 9; tries += 1) {
      pauses.push(pauseMs(lost, almostOne));
      lost = wayLost(lost, 60_000);
    }
    expect(pauses).toEqual([0, 19, 39, 79, 159, 319, 639, 999, 999]);
  });

  it("does not spin when ways answer and end at once", () => {
    let state: WayState = first;
    for (let turn = 0; turn < 20; turn += 1) state = wayLost(wayAnswered(state, turn), turn + 1);
    expect(state.is === "lost" && pauseMs(state, almostOne)).toBe(999);
  });

  it("forgets the failures when a way has lasted", () => {
    let lost = wayLost(first, 0);
    for (let tries = 0; tries < 5; tries += 1) lost = wayLost(lost, 0);
    const again = wayLost(wayAnswered(lost, 1_000), 2_000);
    expect(pauseMs(again, almostOne)).toBe(0);
  });
});
