// Input: all of it reaches a command that reads, and none of it is in the way of one that does not.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const lines = Array.from({ length: 240_000 }, (_, at) => `input ${String(at).padStart(7, "0")}`);
const stdin = Buffer.from(`${lines.join("\n")}\n`);
const sha256 = createHash("sha256").update(stdin).digest("hex");

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe.each(wireVariants)("3 MB over $protocol, HTTP/$httpVersion", (variant) => {
  let own: OpenShellClient;
  beforeAll(() => {
    own = openshellClient(deployment.gatewayUrl, variant);
  });
  afterAll(() => own[Symbol.dispose]());

  it("come back whole from cat", async () => {
    expect(stdin.length).toBeGreaterThan(3 * 1024 * 1024);
    const result = await shell(own, deployment.supervisor(), "exec cat", { request: { stdin } });
    expectExit(result, 0);
    expect(result.totals.stdout).toEqual({ bytes: stdin.length, sha256 });
  });

  it("do not hold up head -1, which takes one line", async () => {
    const result = await shell(own, deployment.supervisor(), "head -1; exit 3", {
      request: { stdin },
    });
    expectExit(result, 3, "input 0000000\n");
  });

  it("do not hold up a command that never reads", async () => {
    const result = await shell(own, deployment.supervisor(), "echo out; echo err >&2; exit 5", {
      request: { stdin },
    });
    expectExit(result, 5, "out\n");
    expect(result.stderr.toString()).toBe("err\n");
  });
});

describe("an input", () => {
  it("that is empty ends at once", async () => {
    expectExit(await shell(client, deployment.supervisor(), "cat; echo over"), 0, "over\n");
    expectExit(await shell(client, deployment.supervisor(), "wc -c < /dev/stdin"), 0, "0\n");
  });

  it("is read to its end by a command that waits before it reads", async () => {
    const result = await shell(client, deployment.supervisor(), "sleep 1; sha256sum", {
      request: { stdin },
    });
    expectExit(result, 0, `${sha256}  -\n`);
  });

  it("is not in the way of output, when the command reads only as fast as its output is taken", async () => {
    const gate = Promise.withResolvers<void>();
    await using exec = new ShellExec(
      client,
      deployment.supervisor(),
      "cat; cat /dev/null; exit 6",
      {
        request: { stdin },
        keep: false,
        readDelay: (messages) => (messages === 1 ? gate.promise : Promise.resolve()),
      },
    );
    await exec.run.received(1);
    expectExit(await shell(client, deployment.supervisor(), "echo beside"), 0, "beside\n");
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 6);
    expect(result.totals.stdout).toEqual({ bytes: stdin.length, sha256 });
  });

  it("that a command does not take is no hindrance to its cancel", async () => {
    await using exec = new ShellExec(client, deployment.supervisor(), "echo ready; sleep 300", {
      request: { stdin },
    });
    await exec.ready();
    exec.run.cancel();
    await exec.noneLeft();
    expect(await exec.processes()).toEqual([]);
  });

  it("goes to the command, not to what the command leaves behind", async () => {
    const script = "(sleep 300; cat) & head -2 | tail -1; exit 0";
    const result = await shell(client, deployment.supervisor(), script, { request: { stdin } });
    expectExit(result, 0, "input 0000001\n");
  });
});
