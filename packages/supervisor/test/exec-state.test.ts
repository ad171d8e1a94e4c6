import { describe, expect, it } from "vitest";
import { initialExecState, onExecEvent, owesReport } from "../src/execs/exec-state.ts";
import type { ExecEffect, ExecEvent, ExecState } from "../src/execs/exec-state.ts";

const exited: ExecEvent = { is: "exited", end: { is: "exited", exitCode: 3 } };
const drained: ExecEvent = { is: "drained", outputComplete: true };
const reported: ExecEvent = { is: "reported" };
const closed: ExecEvent = { is: "client_closed" };
const lost: ExecEvent = { is: "client_lost" };
const signaled: ExecEvent = { is: "client_signaled" };
const windowEnded: ExecEvent = { is: "orphan_window_ended" };
const stopped: ExecEvent = { is: "end_requested", ending: "stopped" };

function after(...events: ExecEvent[]): { state: ExecState; effects: ExecEffect[] } {
  let state = initialExecState;
  const effects: ExecEffect[] = [];
  for (const event of events) {
    const step = onExecEvent(state, event);
    state = step.state;
    if (step.effect) effects.push(step.effect);
  }
  return { state, effects };
}

const terminates = (ending: string) => [{ is: "terminate", ending }];

describe("an exec", () => {
  it("goes from running to reported, and owes its client the report until then", () => {
    expect(after(exited).state.is).toBe("exited");
    expect(after(exited, drained).state).toMatchObject({ is: "drained", outputComplete: true });
    expect(owesReport(after(exited, drained).state)).toBe(true);
    expect(after(exited, drained, reported)).toEqual({ state: { is: "reported" }, effects: [] });
    expect(owesReport({ is: "reported" })).toBe(false);
  });

  it.each([
    ["its client closes while it runs", [closed], terminates("canceled")],
    ["its client closes twice", [closed, closed], terminates("canceled")],
    ["its client closes after the exit", [exited, closed], []],
    [
      "its client closes after a signal and the exit",
      [signaled, exited, closed],
      terminates("canceled"),
    ],
    ["its client is lost while it runs", [lost], [{ is: "open_orphan_window" }]],
    ["its client is lost after the exit", [exited, lost], []],
    ["its client is lost after it closed", [closed, lost], terminates("canceled")],
    ["its client closes after it was lost", [lost, closed], [{ is: "open_orphan_window" }]],
    [
      "the orphan window ends",
      [lost, windowEnded],
      [{ is: "open_orphan_window" }, ...terminates("orphaned")],
    ],
    [
      "the orphan window ends after the exit",
      [lost, exited, windowEnded],
      [{ is: "open_orphan_window" }],
    ],
    ["the supervisor stops", [stopped], terminates("stopped")],
    ["the supervisor stops while it is being canceled", [closed, stopped], terminates("canceled")],
    ["it was reported before", [exited, drained, reported, closed, lost, stopped], []],
  ])("when %s, does what that asks for, once", (_name, events, effects) => {
    expect(after(...events).effects).toEqual(effects);
  });

  it.each([
    ["closed", [closed, exited, drained]],
    ["lost", [lost, exited, drained]],
    ["waiting, but the supervisor ended it", [stopped, exited, drained]],
  ])("owes nothing to a client that is %s", (_name, events) => {
    expect(owesReport(after(...events).state)).toBe(false);
  });

  it("owes the report to a client that has sent a signal", () => {
    expect(owesReport(after(signaled, exited, drained).state)).toBe(true);
  });
});
