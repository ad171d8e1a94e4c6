import { describe, expect, it } from "vitest";
import { defaultLimits } from "../src/limits.ts";
import { terminalSize } from "../src/process/terminal-size.ts";
import { SessionRequests } from "../src/ssh/session-requests.ts";

describe("the requests of an SSH session", () => {
  it("make an exec request", () => {
    const requests = new SessionRequests(defaultLimits, "every");
    expect(requests.addVariable("A", "1")).toBe(true);
    expect(requests.addVariable("BELAY_EXEC_ID", "exec-1")).toBe(true);
    requests.setTerminal("vt100", { cols: 0, rows: 40 });
    expect(requests.execRequest("ls")).toEqual({
      request: {
        execId: "exec-1",
        command: { is: "line", line: "ls" },
        environment: { A: "1", BELAY_EXEC_ID: "exec-1" },
        terminal: { term: "vt100", size: { cols: 80, rows: 40 } },
      },
    });
  });

  it.each([
    ["1A", "x"],
    ["A-B", "x"],
    ["", "x"],
    ["A\0B", "x"],
    ["A", "x\0y"],
  ])("refuse the variable %j=%j, and then the command", (name, value) => {
    const requests = new SessionRequests(defaultLimits, "every");
    expect(requests.addVariable(name, value)).toBe(false);
    expect(requests.addVariable("GOOD", "1")).toBe(true);
    expect(requests.execRequest("ls")).toHaveProperty("refusal");
  });

  it.each(["LANG", "LC_ALL", "LC_TIME", "COLORTERM"])("of a person's client set %s", (name) => {
    const requests = new SessionRequests(defaultLimits, "locale");
    expect(requests.addVariable(name, "x")).toBe(true);
    expect(requests.execRequest("ls")).toMatchObject({ request: { environment: { [name]: "x" } } });
  });

  it.each([
    ["LD_PRELOAD", "x"],
    ["BELAY_EXEC_ID", "exec-1"],
    ["TERM", "x"],
    ["A-B", "x"],
    ["LANG", "x\0y"],
  ])("of a person's client ignore %j=%j, and take the command", (name, value) => {
    const requests = new SessionRequests(defaultLimits, "locale");
    expect(requests.addVariable(name, value)).toBe(false);
    expect(requests.execRequest("ls")).toMatchObject({ request: { environment: {} } });
  });

  it("bound the environment by number and by size", () => {
    const limits = { ...defaultLimits, environmentEntries: 2, environmentBytes: 10 };
    const byNumber = new SessionRequests(limits, "every");
    expect(["A", "B", "C"].map((name) => byNumber.addVariable(name, ""))).toEqual([
      true,
      true,
      false,
    ]);
    const bySize = new SessionRequests(limits, "every");
    expect(bySize.addVariable("A", "234567890")).toBe(true);
    expect(bySize.addVariable("B", "")).toBe(false);
  });

  it("bound the size of a terminal", () => {
    const limits = { terminalCells: 500 };
    expect(terminalSize({ cols: 4_000_000_000, rows: 1 }, limits)).toEqual({ cols: 500, rows: 1 });
  });
});
