import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BelayProcess, runToEnd } from "../../src/belay-process.ts";
import { LineSplitter, parseLogLine } from "../../src/log-line.ts";
import { poll, WaitTimeout } from "../../src/wait.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "belay-e2e-"));
});
afterAll(() => rm(folder, { recursive: true }));

let scripts = 0;
async function script(source: string): Promise<string> {
  const path = join(folder, `script-${scripts++}.mjs`);
  await writeFile(
    path,
    `const log = (event, more = {}) => process.stderr.write(JSON.stringify({ event, ...more }) + "\\n");\n${source}`,
  );
  return path;
}

const staysAlive = `log("program.ready", { url: "http://127.0.0.1:1" }); setInterval(() => {}, 1000);`;

describe("the log of a process", () => {
  it("gives an event that is already written, and one that is still to come", async () => {
    await using program = new BelayProcess({
      name: "counter",
      script: await script(
        `let n = 0; log("program.ready", { url: "u" }); setInterval(() => log("tick", { n: n++ }), 20);`,
      ),
    });
    expect((await program.waitForEvent("program.ready")).fields["url"]).toBe("u");
    expect((await program.waitForEvent("program.ready")).fields["url"]).toBe("u");
    const third = await program.waitForEvent("tick", { where: (fields) => fields["n"] === 3 });
    expect(third.text).toBe(`{"event":"tick","n":3}`);
    const next = await program.waitForEvent("tick", { after: program.mark() });
    expect(next.fields["n"]).toBeGreaterThan(3);
  });

  it("fails the wait with the last lines when the process ends first", async () => {
    await using program = new BelayProcess({
      name: "short",
      script: await script(`log("program.failed", { why: "no port" }); process.exitCode = 3;`),
    });
    await expect(program.waitForEvent("program.ready")).rejects.toThrow(
      /short ended before program\.ready[^]*ended: 3[^]*no port/,
    );
    await expect(program.exited).resolves.toEqual({ code: 3, signal: null });
  });

  it("fails the wait after its limit, naming event and process", async () => {
    await using program = new BelayProcess({ name: "quiet", script: await script(staysAlive) });
    await program.waitForEvent("program.ready");
    const wait = program.waitForEvent("never", { limitMs: 50 });
    await expect(wait).rejects.toThrow(WaitTimeout);
    await expect(wait).rejects.toThrow(/waited 50 ms for never from quiet[^]*program\.ready/);
  });

  it("keeps the newest lines only, and marks stay valid", async () => {
    await using program = new BelayProcess({
      name: "loud",
      maxLogLines: 100,
      script: await script(
        `for (let n = 0; n < 1000; n++) log("line", { n }); log("done"); setInterval(() => {}, 1000);`,
      ),
    });
    await program.waitForEvent("done");
    expect(program.lines.length).toBeLessThanOrEqual(125);
    expect(program.mark()).toBe(1001);
    expect(program.events("line", 990).map((line) => line.fields["n"])).toEqual([
      990, 991, 992, 993, 994, 995, 996, 997, 998, 999,
    ]);
  });

  it("reads lines across chunks and keeps what is not JSON", () => {
    const lines: string[] = [];
    const splitter = new LineSplitter((line) => lines.push(line));
    const bytes = Buffer.from(`{"event":"grüße"}\nplain text\n{"event":`);
    for (const byte of bytes) splitter.push(Buffer.of(byte));
    splitter.flush();
    expect(lines.map(parseLogLine).map(({ event, text }) => [event, text])).toEqual([
      ["grüße", `{"event":"grüße"}`],
      ["", "plain text"],
      ["", `{"event":`],
    ]);
  });
});

describe("the process itself", () => {
  it("is asked to stop, then made to", async () => {
    await using polite = new BelayProcess({ name: "polite", script: await script(staysAlive) });
    await using stubborn = new BelayProcess({
      name: "stubborn",
      script: await script(`process.on("SIGTERM", () => log("heard")); ${staysAlive}`),
    });
    await polite.waitForEvent("program.ready");
    await stubborn.waitForEvent("program.ready");
    await expect(polite.stop()).resolves.toEqual({ code: null, signal: "SIGTERM" });
    await expect(stubborn.stop(300)).resolves.toEqual({ code: null, signal: "SIGKILL" });
    expect(stubborn.events("heard")).toHaveLength(1);
  });

  it("stands still while frozen, and can be stopped even then", async () => {
    await using program = new BelayProcess({
      name: "ticker",
      script: await script(`log("program.ready"); setInterval(() => log("tick"), 10);`),
    });
    await program.waitForEvent("tick");
    program.freeze();
    const mark = await poll(
      "the log to stand still",
      async () => {
        const before = program.mark();
        await expect(program.waitForEvent("tick", { after: before, limitMs: 100 })).rejects.toThrow(
          "for tick from ticker",
        );
        return before === program.mark() ? before : undefined;
      },
      { limitMs: 5_000 },
    );
    program.thaw();
    await program.waitForEvent("tick", { after: mark });
    program.freeze();
    await expect(program.stop()).resolves.toEqual({ code: null, signal: "SIGTERM" });
  });

  it("tells its memory and its open files", async () => {
    await using program = new BelayProcess({
      name: "fds",
      script: await script(
        `import fs from "node:fs"; for (let n = 0; n < 50; n++) fs.openSync("/dev/null"); ${staysAlive}`,
      ),
    });
    await program.waitForEvent("program.ready");
    expect(await program.openFdCount()).toBeGreaterThanOrEqual(50);
    expect(await program.rssBytes()).toBeGreaterThan(10 * 1024 * 1024);
  });

  it("runs a one-shot command to its end", async () => {
    const result = await runToEnd({
      name: "one-shot",
      script: await script(
        `process.stdout.write(process.argv[2] + process.env.WORD); console.error("note"); process.exitCode = 2;`,
      ),
      args: ["a"],
      env: { WORD: "b" },
    });
    expect(result).toEqual({ code: 2, signal: null, stdout: "ab", stderr: "note" });
  });

  it("reports a script that is not there as an end, not as a hang", async () => {
    await using program = new BelayProcess({
      name: "missing",
      script: join(folder, "missing.mjs"),
    });
    await expect(program.waitForEvent("program.ready")).rejects.toThrow(/missing ended before/);
  });
});
