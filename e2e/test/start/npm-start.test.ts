// scripts/start.ts, which `npm start` runs: both programs up, one exec shown, command lines that work as printed, and nothing left behind.
import { execFileSync, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BelayProcess, runToEnd } from "../../src/belay-process.ts";
import { openshellClient } from "../../src/client.ts";
import { findProcesses, killMarked, waitUntilNoneLeft } from "../../src/processes.ts";
import { poll } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { describeWith } from "../support/needs-program.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const mark = randomUUID();
const marker = { env: `E2E_START=${mark}` };

async function listen(port = 0): Promise<Server> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(port, "127.0.0.1", resolve);
  await promise;
  return server;
}

async function freePort(): Promise<number> {
  const server = await listen();
  const { port } = server.address() as AddressInfo;
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  await promise;
  return port;
}

function start(port: number): BelayProcess {
  return new BelayProcess({
    name: "npm start",
    script: "scripts/start.ts",
    args: ["--port", String(port)],
    env: { E2E_START: mark },
    cwd: root,
  });
}

async function untilUp(program: BelayProcess): Promise<void> {
  await poll("npm start to be up", () => program.stdout.includes("Ctrl-C stops"), {
    limitMs: 30_000,
    detail: () => `${program.stdout}\n${program.tail()}`,
  });
}

describe("npm start", () => {
  let port: number;
  let program: BelayProcess;
  beforeAll(async () => {
    port = await freePort();
    program = start(port);
    await untilUp(program);
  });
  afterAll(async () => {
    await program[Symbol.asyncDispose]();
    await killMarked(marker);
    await rm(`${root}.belay/${port}`, { recursive: true, force: true });
  });

  /** The printed command line that begins with this word, continuation lines included. */
  function printed(word: string): string {
    const lines = program.stdout.split("\n");
    const first = lines.findIndex((line) => line.startsWith(`  ${word} `));
    expect(first, `a line that begins with ${word}`).toBeGreaterThan(0);
    const length = lines.slice(first).findIndex((line) => line.trim() === "");
    return lines.slice(first, first + length).join("\n");
  }

  it("starts a gateway and a supervisor, runs a command through them, and shows its output and exit", async () => {
    expect(program.stdout).toMatch(
      /Belay is up at http:\/\/127\.0\.0\.1:\d+ with the sandbox "local"/,
    );
    expect(program.stdout).toMatch(/Hello from process \d+ in the sandbox\.\n/);
    expect(program.stdout).toContain("→ exit code 7");
    const programs = (await findProcesses(marker)).map(({ argv }) => argv.join(" "));
    expect(programs.filter((line) => line.includes("belay-gateway.mjs serve"))).toHaveLength(1);
    expect(programs.filter((line) => line.includes("belay-supervisor.mjs run"))).toHaveLength(1);
  });

  it.each(["sh", "bash"])(
    "shows belay's lines, which work as they stand there, in %s",
    (shellName) => {
      const { stdout, stderr } = spawnSync(shellName, ["-c", printed("belay()")], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
      expect(stderr).toBe("");
      const execs = stdout.slice(0, stdout.indexOf("Usage: belay"));
      expect(execs).toMatch(
        /^Linux .*\nSOME INPUT\ndone\nEXEC +STATE +EXIT +STARTED +COMMAND\n[^ ]+ +ended +3 +\S+ +sh -c/,
      );
    },
  );

  describeWith(["curl"], "shows a curl line", () => {
    it.each(["sh", "bash"])("that runs a command, as it stands there, in %s", (shellName) => {
      const answer = execFileSync(shellName, ["-c", printed("printf")], { encoding: "utf8" });
      const messages = answer
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Answer);
      const output = messages.map(({ stdout }) => Buffer.from(stdout?.data ?? "", "base64"));
      expect(Buffer.concat(output).toString()).toMatch(/^uid=\d+/m);
      expect(messages.some(({ exit }) => exit !== undefined)).toBe(true);
    });

    it("that finds the sandbox", () => {
      const answer = execFileSync("sh", ["-c", printed("curl")], { encoding: "utf8" });
      expect(answer).toContain('"local"');
    });
  });

  it("says of a taken port that it is taken, and ends with 1", async () => {
    const second = await runToEnd({
      name: "a second npm start",
      script: "scripts/start.ts",
      args: ["--port", String(port)],
      env: { E2E_START: mark },
      cwd: root,
    });
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`port ${port} on 127.0.0.1 cannot be used`);
    expect(second.stderr).toContain(`npm start -- --port`);
    expect(second.stderr).not.toMatch(/^\s+at /m);
  });

  it("leaves no process behind after SIGINT, a running exec's included", async () => {
    using client = openshellClient(`http://127.0.0.1:${port}`);
    const { sandbox } = await client.getSandbox({ name: "local" });
    const sandboxId = sandbox?.metadata?.id ?? "";
    expectExit(await shell(client, { sandboxId }, "exit 4"), 4);
    await using exec = new ShellExec(client, { sandboxId }, "echo ready; setsid sleep 300 & wait");
    await exec.ready();
    program.kill("SIGINT");
    expect(await program.ended()).toEqual({ code: 0, signal: null });
    await waitUntilNoneLeft(marker, 1_000);
    expect((await exec.result).hung).toBe(false);
    await exec.noneLeft(1_000);
  });
});

interface Answer {
  stdout?: { data: string };
  exit?: { exitCode?: number };
}

describe("npm start on a port that some other program has", () => {
  it("gives a clear message and exit code 1", async () => {
    const server = await listen();
    const { port } = server.address() as AddressInfo;
    await using program = start(port);
    expect(await program.ended()).toEqual({ code: 1, signal: null });
    const said = program.lines.map(({ text }) => text).join("\n");
    expect(said).toContain(`port ${port} on 127.0.0.1 cannot be used`);
    expect(said).not.toMatch(/^\s+at /m);
    expect(await findProcesses(marker)).toEqual([]);
    server.close();
  });
});
