// main.test.ts: the program itself, as a process.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import ssh2 from "ssh2";
import { SshExecClient } from "./support/exec-bench.ts";
import { Plane } from "./support/plane.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { until } from "./support/until.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const TOKEN = "e30.eyJzYW5kYm94X2lkIjoiYm94In0.c2ln";

interface Program {
  readonly child: ChildProcess;
  readonly text: () => string;
  readonly exited: Promise<number | null>;
}

const programs: Program[] = [];
let plane: Plane | undefined;

afterEach(async () => {
  for (const { child } of programs.splice(0)) child.kill("SIGKILL");
  await plane?.[Symbol.asyncDispose]();
  plane = undefined;
});

function run(args: string[], env: Record<string, string> = {}): Program {
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env["PATH"]!, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  const program = { child, text: () => text, exited };
  programs.push(program);
  return program;
}

async function serving(args: string[] = []): Promise<{ program: Program; client: SshExecClient }> {
  plane = await Plane.start((session) => session.accept("session-1"));
  const program = run(["run", ...args], {
    BELAY_GATEWAY: plane.url.href,
    BELAY_SANDBOX_TOKEN: TOKEN,
  });
  const session = await plane.session(0);
  session.send({ case: "relayOpen", value: { channelId: "channel-1" } });
  const pipe = await plane.relay("channel-1");
  const client = new ssh2.Client();
  client.on("error", () => {});
  client.connect({ sock: pipe, username: "sandbox", keepaliveInterval: 0 });
  await new Promise<void>((resolve) => client.once("ready", () => resolve()));
  return { program, client: new SshExecClient(client, { client: pipe, server: pipe }) };
}

async function running(client: SshExecClient) {
  const mark = uniqueSleep();
  const exec = await client.exec(`trap '' TERM; sleep ${mark} & sleep ${mark}`);
  exec.channel.resume();
  const live = () => pidsOf(`sleep\0${mark}\0`);
  await until("it runs", () => live().length === 2);
  return { live };
}

describe("belay-supervisor", () => {
  it("says what it can do", async () => {
    const help = run(["run", "--help"]);
    expect(await help.exited).toBe(0);
    expect(help.text()).toContain("--orphan-window-ms <ms|keep>");
  });

  it("does not start without a token, and says what to do", async () => {
    const program = run(["run", "--gateway", "http://127.0.0.1:1"]);
    expect(await program.exited).toBe(2);
    expect(program.text()).toContain("--token-file");
  });

  it("waits for a gateway that is not there, and stops when it is told to", async () => {
    const program = run(["run", "--gateway", "http://127.0.0.1:1"], { BELAY_SANDBOX_TOKEN: TOKEN });
    await until("three attempts", () => program.text().split("session.failed").length > 3);
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
    expect(program.text()).not.toContain(TOKEN);
  });

  it("ends what runs at SIGTERM, and leaves with 0", async () => {
    const { program, client } = await serving([
      "--drain-timeout-ms=100",
      "--termination-grace-ms=100",
    ]);
    const { live } = await running(client);
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
    expect(live()).toEqual([]);
  });

  it("kills what runs at the second signal, at once", async () => {
    const { program, client } = await serving(["--drain-timeout-ms=60000"]);
    const { live } = await running(client);
    program.child.kill("SIGTERM");
    await until("it drains", () => program.text().includes("supervisor.draining"));
    program.child.kill("SIGINT");
    expect(await program.exited).toBe(1);
    await until("all have ended", () => live().length === 0, 1_000);
  });

  it("keeps its token from its commands", async () => {
    const { client } = await serving();
    const exec = await client.exec("env");
    const end = await exec.finished();
    expect(end.stdout.toString()).toContain("BELAY_EXEC_ID=");
    expect(end.stdout.toString()).not.toContain(TOKEN);
    expect(end.stdout.toString()).not.toContain("BELAY_GATEWAY");
  });
});
