import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createLog } from "../src/index.ts";
import type { LogLevel } from "../src/index.ts";

function recordedLog(level: LogLevel = "debug") {
  const texts: string[] = [];
  const log = createLog({ program: "demo", level, stream: { write: (text) => texts.push(text) } });
  const lines = () => texts.map((text) => JSON.parse(text) as Record<string, unknown>);
  return { log, lines, texts };
}

describe("a log line", () => {
  it("is one line of JSON with level, time, program, event and fields", () => {
    const { log, lines, texts } = recordedLog();
    log.info("relay.opened", { relayId: "r1", note: "two\nlines", sentBytes: 10n });
    expect(texts).toHaveLength(1);
    expect(texts[0]).toMatch(/^[^\n]+\n$/);
    const [line] = lines();
    expect(line).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      program: "demo",
      event: "relay.opened",
      relayId: "r1",
      note: "two\nlines",
      sentBytes: 10,
    });
  });

  it("is written only at the level asked for, or a more severe one", () => {
    const { log, lines } = recordedLog("warn");
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]("it.happened");
    expect(lines().map((line) => line["level"])).toEqual(["warn", "error"]);
  });

  it("carries the fields of its log, the line's own ones winning, each name once", () => {
    const { log, lines, texts } = recordedLog();
    const child = log.child({ sandboxId: "s1", execId: "e1" }).child({ execId: "e2" });
    child.warn("exec.slow", { sandboxId: "s2" });
    log.warn("exec.slow");
    expect(lines()[0]).toMatchObject({ sandboxId: "s2", execId: "e2" });
    expect(texts[0]?.match(/sandboxId|execId/g)).toHaveLength(2);
    expect(lines()[1]).not.toHaveProperty("sandboxId");
  });

  it("tells an error by name, message, kind, code and causes, and nothing else that hangs on it", () => {
    const { log, lines, texts } = recordedLog();
    const root = Object.assign(new Error("refused"), { code: "ECONNREFUSED", token: "hunter2" });
    const cause = new AggregateError([root], "all failed", { cause: "a text" });
    const err = Object.assign(new Error("no relay", { cause }), {
      kind: "relay_lost",
      headers: { authorization: "hunter2" },
    });
    log.error("relay.failed", { err });
    expect(lines()[0]?.["err"]).toEqual({
      name: "Error",
      message: "no relay",
      kind: "relay_lost",
      cause: {
        name: "AggregateError",
        message: "all failed",
        errors: [{ name: "Error", message: "refused", code: "ECONNREFUSED" }],
        cause: { name: "NotAnError", message: "a text" },
      },
    });
    expect(texts[0]).not.toContain("hunter2");
  });

  it("shows where a bug is, and survives an error that is its own cause", () => {
    const { log, lines } = recordedLog();
    const bug = new TypeError("x is undefined");
    bug.cause = bug;
    log.error("program.failed", { err: bug });
    expect(lines()[0]?.["err"]).toMatchObject({
      stack: expect.stringContaining("log.test") as string,
    });
  });

  it("goes to stderr and is there when the process exits right after it", async () => {
    const index = fileURLToPath(new URL("../src/index.ts", import.meta.url));
    const script = `
      import { createLog } from ${JSON.stringify(index)};
      const log = createLog({ program: "demo", level: "info" });
      for (let n = 1; n <= 2000; n++) log.info("line.written", { n, filler: "x".repeat(200) });
      process.exit(3);`;
    const { exitCode, stdout, stderr } = await runNode(script);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(2000);
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ event: "line.written", n: 2000 });
  });
});

function runNode(script: string) {
  const args = ["--input-type=module", "--eval", script];
  return new Promise<{ exitCode: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      resolve({ exitCode: error?.code ?? 0, stdout, stderr });
    });
  });
}
