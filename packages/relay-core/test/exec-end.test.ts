import { describe, expect, it } from "vitest";
import { execEnd, exitCodeOf } from "../src/index.ts";
import type { ChannelExit, ExecEnd } from "../src/index.ts";

const exits = {
  none: undefined,
  "code 0": { is: "exited", exitCode: 0 },
  "code 3": { is: "exited", exitCode: 3 },
  KILL: { is: "signaled", signal: "KILL" },
} as const satisfies Record<string, ChannelExit | undefined>;

type Expected = "open" | "bounded" | "lost" | "ended";

// exit, stdout ended, stderr ended, closed: what it means.
const table: [keyof typeof exits, boolean, boolean, boolean, Expected][] = [
  ["none", false, false, false, "open"],
  ["none", true, false, false, "open"],
  ["none", false, true, false, "open"],
  ["none", true, true, false, "open"],
  ["none", false, false, true, "lost"],
  ["none", true, false, true, "lost"],
  ["none", false, true, true, "lost"],
  ["none", true, true, true, "lost"],
  ["code 0", false, false, false, "bounded"],
  ["code 0", true, false, false, "bounded"],
  ["code 0", false, true, false, "bounded"],
  ["code 0", true, true, false, "ended"],
  ["code 0", false, false, true, "ended"],
  ["code 0", true, false, true, "ended"],
  ["code 0", false, true, true, "ended"],
  ["code 0", true, true, true, "ended"],
  ["code 3", false, false, false, "bounded"],
  ["code 3", true, false, false, "bounded"],
  ["code 3", false, true, false, "bounded"],
  ["code 3", true, true, false, "ended"],
  ["code 3", false, false, true, "ended"],
  ["code 3", true, false, true, "ended"],
  ["code 3", false, true, true, "ended"],
  ["code 3", true, true, true, "ended"],
  ["KILL", false, false, false, "bounded"],
  ["KILL", true, false, false, "bounded"],
  ["KILL", false, true, false, "bounded"],
  ["KILL", true, true, false, "ended"],
  ["KILL", false, false, true, "ended"],
  ["KILL", true, false, true, "ended"],
  ["KILL", false, true, true, "ended"],
  ["KILL", true, true, true, "ended"],
];

function endFor(expected: Expected, exit: ChannelExit | undefined): ExecEnd {
  if (expected === "lost") return { is: "lost" };
  if (expected === "ended") return { is: "ended", exit: exit! };
  return { is: "open", bounded: expected === "bounded" };
}

describe("execEnd", () => {
  it.each(table)(
    "exit %s, stdout ended %s, stderr ended %s, closed %s: %s",
    (name, stdoutEnded, stderrEnded, closed, expected) => {
      const exit = exits[name];
      const end = execEnd({ exit, stdoutEnded, stderrEnded, closed });
      expect(end).toEqual(endFor(expected, exit));
    },
  );

  it("has a row for every combination", () => {
    const rows = new Set(table.map((row) => row.slice(0, 4).join()));
    expect(rows.size).toBe(Object.keys(exits).length * 2 ** 3);
  });

  it("never ends an exec with anything but the exit that the server reported", () => {
    for (const [name, stdoutEnded, stderrEnded, closed] of table) {
      const end = execEnd({ exit: exits[name], stdoutEnded, stderrEnded, closed });
      expect("exit" in end ? end.exit : undefined).toBe(
        end.is === "ended" ? exits[name] : undefined,
      );
    }
  });

  it("never goes back once it has ended, whatever else arrives", () => {
    for (const [name, stdoutEnded, stderrEnded, closed, expected] of table) {
      if (expected !== "ended") continue;
      for (const more of [{ stdoutEnded: true }, { stderrEnded: true }, { closed: true }]) {
        const later = { exit: exits[name], stdoutEnded, stderrEnded, closed, ...more };
        expect(execEnd(later).is).toBe("ended");
      }
    }
  });
});

describe("exitCodeOf", () => {
  it.each([0, 1, 2, 124, 127, 128, 137, 255])("passes exit code %i on as it is", (exitCode) => {
    expect(exitCodeOf({ is: "exited", exitCode })).toBe(exitCode);
  });

  it.each([
    ["HUP", 129],
    ["INT", 130],
    ["QUIT", 131],
    ["ILL", 132],
    ["TRAP", 133],
    ["ABRT", 134],
    ["BUS", 135],
    ["FPE", 136],
    ["KILL", 137],
    ["USR1", 138],
    ["SEGV", 139],
    ["USR2", 140],
    ["PIPE", 141],
    ["ALRM", 142],
    ["TERM", 143],
    ["XCPU", 152],
    ["XFSZ", 153],
    ["SYS", 159],
  ])("reports a process that %s ended as %i", (signal, code) => {
    expect(exitCodeOf({ is: "signaled", signal })).toBe(code);
  });

  it.each(["", "NOPE", "kill", "SIGKILL", "sig@example.org", "constructor", "toString"])(
    "reports a signal of the unknown name %j as 255",
    (signal) => {
      expect(exitCodeOf({ is: "signaled", signal })).toBe(255);
    },
  );

  it("reports a signal named like a prototype as 255", () => {
    expect(exitCodeOf({ is: "signaled", signal: "__proto__" })).toBe(255);
  });
});
