import { describe, expect, it } from "vitest";
import { execExit } from "../../src/execs/durable/exec-exit.ts";

const complete = { outputComplete: true, ending: undefined, processesEnded: 0 };

describe("execExit", () => {
  it.each([0, 1, 124, 255])("gives the process's own exit code %d", (exitCode) => {
    expect(execExit({ is: "exited", exitCode }, complete, {})).toMatchObject({
      reason: "exited",
      exitCode,
      signal: "",
      outputIncomplete: false,
    });
  });

  it("names the signal that ended the process", () => {
    expect(execExit({ is: "signaled", signal: "SIGKILL" }, complete, {})).toMatchObject({
      reason: "signaled",
      exitCode: 137,
      signal: "KILL",
    });
  });

  it.each([
    ["timed_out", "timed_out", 124],
    ["canceled", "canceled", 143],
    ["orphaned", "lost", 143],
  ] as const)("tells that we ended it: %s", (ending, reason, exitCode) => {
    const how = { outputComplete: true, ending, processesEnded: 2 };
    expect(execExit({ is: "signaled", signal: "SIGTERM" }, how, {})).toMatchObject({
      reason,
      exitCode,
      signal: "TERM",
      processesEnded: 2,
    });
  });

  it("says that output was cut", () => {
    const how = { outputComplete: false, ending: undefined, processesEnded: 0 };
    expect(execExit({ is: "exited", exitCode: 0 }, how, {}).outputIncomplete).toBe(true);
  });
});
