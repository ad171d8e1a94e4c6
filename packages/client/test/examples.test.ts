// The README's examples are the files in examples/, and each of them runs.
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { FakeGateway, lost } from "../src/testing/index.ts";
import type { FakeExec, FakeProgram } from "../src/testing/index.ts";
import { serveHttp2 } from "./support/http2-gateway.ts";

const folder = join(import.meta.dirname, "../examples");

const programs: Record<string, FakeProgram> = {
  uname: (exec) => prints(exec, "Linux\n"),
  make: (exec) => prints(exec, "made\n"),
  sleep: () => {},
  wc: (exec) => void count(exec),
};

function prints(exec: FakeExec, text: string): void {
  exec.write("stdout", text);
  exec.end();
}

async function count(exec: FakeExec): Promise<void> {
  while (!exec.stdinEnded) await exec.nextChange();
  prints(exec, `${exec.stdinOffset}\n`);
}

const source = (name: string) => readFile(join(folder, name), "utf8");

/** The example's output, with a connection that is lost in the middle of its first follow. */
async function run(name: string): Promise<{ stdout: string; gateway: FakeGateway }> {
  const gateway = new FakeGateway(programs);
  gateway.faults = {
    onEvent: ({ call, event }) => (call === 0 && event === 1 ? "cut" : undefined),
  };
  await using server = await serveHttp2(gateway);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, name)], {
    env: { ...process.env, BELAY_GATEWAY: server.url },
    timeout: 25_000,
  });
  expect(stderr).toBe("");
  return { stdout, gateway };
}

it.each([
  ["exec.ts", "Linux\nexit code 0, verified: true\n"],
  ["stream.ts", "made\nexited, 0\n"],
  ["detached.ts", "made\nexit code 0\n"],
  ["cancel.ts", "TimeoutError\n"],
  ["retry.ts", "exit code 0\n"],
])("%s does what it says", async (name, output) => {
  expect((await run(name)).stdout).toBe(output);
});

it("stdin.ts does what it says", async () => {
  const { stdout } = await run("stdin.ts");
  expect(stdout).toBe(`${Buffer.byteLength(await source("stdin.ts"))}\n`);
});

it("cancel.ts leaves nothing running", async () => {
  const { gateway } = await run("cancel.ts");
  expect(gateway.lastExec.exit).toMatchObject({ reason: "canceled" });
});

it("retry.ts runs the command once although its start's answers are lost", async () => {
  const gateway = new FakeGateway(programs);
  let left = 3;
  gateway.faults = {
    after: (name) => (name === "startExec" && left-- > 0 ? lost() : undefined),
  };
  await using server = await serveHttp2(gateway);
  const env = { ...process.env, BELAY_GATEWAY: server.url };
  await promisify(execFile)(process.execPath, [join(folder, "retry.ts")], { env });
  expect(gateway.starts).toBe(1);
});

it("the README shows each example as it is", async () => {
  const readme = await readFile(join(folder, "../README.md"), "utf8");
  for (const name of await readdir(folder)) {
    const shown = `[examples/${name}](examples/${name})\n\n\`\`\`ts\n${await source(name)}\`\`\`\n`;
    expect(readme).toContain(shown);
  }
});
