// The end of an exec as a caller of @belay/client sees it.
import { BelayError } from "@belay/client";
import type { ExecExit } from "@belay/client";
import { describe, expect, it } from "vitest";
import { contradictions, endOfError, endOfExit, Wish } from "../adapters/client-end.ts";

const totals = (bytes: number) => ({ bytes, sha256: new Uint8Array() });
const exit: ExecExit = {
  reason: "exited",
  exitCode: 3,
  outputIncomplete: false,
  stdout: totals(10),
  stderr: totals(0),
  startedAtMs: 0,
  endedAtMs: 1,
  processesEnded: 0,
};

describe("an exit", () => {
  it.each(["exited", "signaled", "timed_out"])("that was %s is one", (reason) => {
    expect(endOfExit({ ...exit, reason })).toMatchObject({ is: "exit", exitCode: 3, reason });
  });

  it.each([
    ["canceled", "canceled"],
    ["lost", "exec_lost"],
  ])("that was %s is an error: the command did not end by itself", (reason, kind) => {
    const end = { is: "error", kind, outcome: "completed", allGone: true, callersOwn: false };
    expect(endOfExit({ ...exit, reason })).toMatchObject(end);
  });

  it("for a reason that nobody knows has no outcome", () => {
    expect(endOfExit({ ...exit, reason: "vanished" })).toMatchObject({ outcome: undefined });
  });

  it("contradicts output that did not come, or that came and is not counted", () => {
    const event = { is: "exit", exit, verified: true } as const;
    const came = (stdout: number) => (stream: string) => (stream === "stdout" ? stdout : 0);
    expect(contradictions(event, came(10))).toEqual([]);
    expect(contradictions(event, came(9))).toHaveLength(1);
    expect(contradictions(event, came(11))).toHaveLength(1);
    expect(contradictions({ ...event, verified: false }, came(10))).toHaveLength(1);
  });
});

describe("an error", () => {
  it("is what it says", () => {
    const error = new BelayError("resume_window_ended", "gone");
    const end = { kind: "resume_window_ended", outcome: "unknown", callersOwn: false };
    expect(endOfError(error)).toMatchObject(end);
  });

  it("that is the caller's own wish says that all is gone", () => {
    const end = { kind: "caller_cancel", callersOwn: true, allGone: true };
    expect(endOfError(new Wish("caller_cancel"))).toMatchObject(end);
  });

  it("that is not Belay's has no outcome", () => {
    expect(endOfError(new TypeError("x"))).toMatchObject({ outcome: undefined });
  });
});
