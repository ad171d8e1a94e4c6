// timeout_seconds: 124, and only when nothing of the command is left.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit, slackMs } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const graceMs = 600;
const timeoutMs = 1_000;
const request = { timeoutSeconds: 1 };

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    proxied: false,
    gatewayArgs: flags({ "termination-grace-ms": graceMs }),
    supervisorArgs: flags({ "termination-grace-ms": graceMs }),
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const rows = [
  { name: "sleeps", script: "echo out; sleep 300", killed: false },
  { name: "ignores TERM", script: "trap '' TERM; echo out; sleep 300; sleep 300", killed: true },
  {
    name: "goes at TERM, and leaves a child that ignores it",
    script: "(trap '' TERM HUP; sleep 300) & echo out; sleep 300",
    killed: true,
  },
  {
    name: "goes at TERM, and leaves a child in another session that ignores it",
    script: "(trap '' TERM; setsid sleep 300 >/dev/null 2>&1 &); echo out; sleep 300",
    killed: true,
  },
  {
    name: "exits with 0 when it gets TERM",
    script: "trap 'exit 0' TERM; echo out; while :; do sleep 0.05; done",
    killed: false,
  },
  { name: "is stopped", script: "echo out; kill -STOP $$", killed: false },
] as const;

describe.concurrent.each(rows)("a command that $name", ({ script, killed }) => {
  it.each([false, true])("ends with 124 once all of it is gone (tty: %s)", async (tty) => {
    await using exec = new ShellExec(client, deployment.supervisor(), script, {
      request: { ...request, tty },
    });
    const result = await exec.result;
    expect(await exec.processes(), "left when 124 was told").toEqual([]);
    expectExit(result, 124);
    expect(result.stdout.toString()).toMatch(/^out\r?\n/);
    expect(result.exit).toMatchObject({ reason: "timed_out", signal: "" });
    const notBeforeMs = timeoutMs + (killed ? graceMs : 0);
    expect(result.tookMs).toBeGreaterThan(notBeforeMs * 0.95);
    expect(result.tookMs).toBeLessThan(notBeforeMs + slackMs);
  });
});

describe.concurrent("a timeout", () => {
  it("is told from an exit with 124", async () => {
    const result = await shell(client, deployment.supervisor(), "exit 124", { request });
    expectExit(result, 124);
    expect(result.exit?.reason).toBe("exited");
  });

  it("does nothing to a command that ends in time", async () => {
    const result = await shell(client, deployment.supervisor(), "sleep 0.3; exit 4", { request });
    expectExit(result, 4);
    expect(result.exit?.reason).toBe("exited");
  });

  it("ends the command behind a client that does not read, which then hears of it", async () => {
    const gate = Promise.withResolvers<void>();
    const script = "echo ready; yes 'the same line again and again'";
    await using exec = new ShellExec(client, deployment.supervisor(), script, {
      request,
      keep: false,
      readDelay: (messages) => (messages === 2 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    await exec.noneLeft();
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 124);
    expect(result.exit?.reason).toBe("timed_out");
  });

  it("does not make a command that ended in time a late one, however slowly it is read", async () => {
    const gate = Promise.withResolvers<void>();
    await using exec = new ShellExec(client, deployment.supervisor(), "seq 1 60000; exit 6", {
      request,
      readDelay: (messages) => (messages === 1 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    await exec.noneLeft();
    await shell(client, deployment.supervisor(), "sleep 1.3");
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 6);
    expect(result.stdout.toString().endsWith("\n60000\n")).toBe(true);
  });
});
