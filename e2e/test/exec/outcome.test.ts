// How a command ended, as each protocol tells it: with its output, and with the truth.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { collectExec } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { shell } from "../support/shell-exec.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  let client: OpenShellClient;
  beforeAll(() => {
    client = openshellClient(deployment.gatewayUrl, variant);
  });
  afterAll(() => client[Symbol.dispose]());

  it.each([0, 3, 126, 127, 255])("gives both outputs and exit code %i", async (exitCode) => {
    const script = `printf out; printf err >&2; exit ${exitCode}`;
    const result = await shell(client, deployment.supervisor(), script);
    expectExit(result, exitCode, "out");
    expect(result.stderr.toString()).toBe("err");
    expect(result.exit).toMatchObject({ reason: "exited", signal: "", outputIncomplete: false });
  });

  it.each([
    ["KILL", 137],
    ["TERM", 143],
    ["SEGV", 139],
  ])("tells an end by SIG%s from an exit with the same number", async (signal, exitCode) => {
    const byItself = await shell(
      client,
      deployment.supervisor(),
      `printf out; kill -${signal} $$; sleep 30`,
    );
    expectExit(byItself, exitCode, "out");
    expect(byItself.exit).toMatchObject({ reason: "signaled", signal });
    const byNumber = await shell(client, deployment.supervisor(), `exit ${exitCode}`);
    expectExit(byNumber, exitCode);
    expect(byNumber.exit).toMatchObject({ reason: "exited", signal: "" });
  });

  it.each([
    ["there is no such program", ["/no/such/program"], 127],
    ["there is no such name", ["no-such-program-at-all"], 127],
    ["it is a folder", ["/tmp"], 126],
    ["it is no program", ["/etc/passwd"], 126],
  ])("says in numbers and words that %s", async (_name, command, exitCode) => {
    const { sandboxId } = deployment.supervisor();
    const result = await collectExec(client, { sandboxId, command });
    expectExit(result, exitCode, "");
    expect(result.stderr.toString()).toContain(command[0]);
  });

  it("gives a silent success as no output and exit code 0", async () => {
    const { sandboxId } = deployment.supervisor();
    const result = await collectExec(client, { sandboxId, command: ["true"] });
    expectExit(result, 0, "");
    expect(result.messages).toBe(1);
  });
});

describe("the workdir", () => {
  it.each([
    ["is missing", "/no/such/folder"],
    ["is a file", "/etc/passwd"],
  ])("ends with 126 and words when it %s", async (_name, workdir) => {
    const result = await shell(deployment.client(), deployment.supervisor(), "echo never", {
      request: { workdir },
    });
    expectExit(result, 126, "");
    expect(result.stderr.toString()).toContain(workdir);
  });
});

it("keeps all output of a command that exits at once, a hundred times", async () => {
  const client = deployment.client();
  const run = (id: number) =>
    shell(client, deployment.supervisor(), `printf 'line %s of the end' ${id}; exit 9`);
  for (let round = 0; round < 5; round++) {
    const results = await Promise.all(Array.from({ length: 20 }, (_, id) => run(id)));
    for (const [id, result] of results.entries()) expectExit(result, 9, `line ${id} of the end`);
  }
});
