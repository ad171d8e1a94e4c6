import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { Termination } from "../../src/exec/termination.ts";

function scene() {
  const clock = new ManualClock();
  const sent: string[] = [];
  const termination = new Termination((name) => sent.push(name), {
    graceMs: 5_000,
    clock,
    onForced: () => sent.push("forced"),
  });
  return { clock, sent, termination };
}

describe("Termination", () => {
  it("asks first, forces after the grace, and says so", async () => {
    const { clock, sent, termination } = scene();
    expect(termination.state).toEqual({ is: "running" });
    termination.begin("timed_out");
    expect(termination.state).toEqual({ is: "asked", reason: "timed_out" });
    await clock.advance(4_999);
    expect(sent).toEqual(["TERM"]);
    await clock.advance(1);
    expect(sent).toEqual(["TERM", "KILL", "forced"]);
    expect(termination.state).toEqual({ is: "forced", reason: "timed_out" });
  });

  it("keeps the first reason and does not start over", async () => {
    const { clock, sent, termination } = scene();
    termination.begin("timed_out");
    await clock.advance(3_000);
    termination.begin("canceled");
    await clock.advance(2_000);
    expect(sent).toEqual(["TERM", "KILL", "forced"]);
    expect(termination.state).toEqual({ is: "forced", reason: "timed_out" });
    termination.begin("canceled");
    expect(sent).toHaveLength(3);
  });

  it("sends no KILL after the command's end", async () => {
    const { clock, sent, termination } = scene();
    termination.begin("canceled");
    termination[Symbol.dispose]();
    await clock.advance(60_000);
    expect(sent).toEqual(["TERM"]);
    expect(clock.pendingTimers).toBe(0);
  });
});
