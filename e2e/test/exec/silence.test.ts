// Silence is not death: what says nothing for longer than every bound lives, as long as the path to it answers.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectExit, expectParked } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { localTotals } from "../support/local-run.ts";
import { metric } from "../support/metrics.ts";
import { ShellExec } from "../support/shell-exec.ts";

/** Every backstop of both programs, at most one second. */
const shortBounds = {
  "keepalive-interval-ms": 400,
  "keepalive-timeout-ms": 600,
  "ssh-keepalive-interval-ms": 300,
  "ssh-keepalive-missed": 3,
};
const silentMs = 4_000;

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    proxied: false,
    gatewayArgs: flags({
      ...shortBounds,
      "heartbeat-interval-ms": 300,
      "heartbeat-missed": 3,
      "post-exit-wait-ms": 300,
      "session-wait-ms": 500,
      "relay-wait-ms": 1_000,
      "ssh-ready-ms": 1_000,
      "exec-start-ms": 1_000,
    }),
    supervisorArgs: flags({
      ...shortBounds,
      "heartbeat-missed": 3,
      "orphan-window-ms": 0,
      "ssh-handshake-timeout-ms": 1_000,
    }),
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe.concurrent("a command that is silent for longer than every bound", () => {
  it.each([
    ["before its first byte", "sleep 4; echo out", "out\n"],
    ["after some output", "echo first; sleep 4; echo last", "first\nlast\n"],
    ["to its end", "sleep 4", ""],
    ["with its outputs closed", "exec >/dev/null 2>&1; sleep 4", ""],
    ["while it waits for a child", "(sleep 4; echo child) & wait", "child\n"],
  ])("%s ends well", async (_name, script, output) => {
    await using exec = new ShellExec(client, deployment.supervisor(), `${script}; exit 3`);
    const result = await exec.result;
    expectExit(result, 3, output);
    expect(result.tookMs).toBeGreaterThan(silentMs * 0.95);
  });
});

describe.concurrent("a client that stops reading for longer than every bound", () => {
  it("loses neither its exec nor a byte, though the command is blocked on it", async () => {
    const gate = Promise.withResolvers<void>();
    const expected = await localTotals("seq 1 2000000");
    await using exec = new ShellExec(client, deployment.supervisor(), "seq 1 2000000; exit 5", {
      keep: false,
      readDelay: (messages) => (messages === 2 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    await expectParked(exec.run, silentMs);
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 5);
    expect(result.totals.stdout).toEqual(expected.stdout);
  });

  it("and whose command is silent meanwhile, gets what was said before and after", async () => {
    const gate = Promise.withResolvers<void>();
    const before = "seq 1 400000";
    const expected = await localTotals(`${before}; echo last`);
    // Enough to fill what the path holds, not enough to block the command for good.
    await using exec = new ShellExec(
      client,
      deployment.supervisor(),
      `${before}; sleep ${silentMs / 1_000 + 1}; echo last; exit 6`,
      {
        keep: false,
        readDelay: (messages) => (messages === 2 ? gate.promise : Promise.resolve()),
      },
    );
    await exec.run.received(1);
    await expectParked(exec.run, silentMs);
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 6);
    expect(result.totals.stdout).toEqual(expected.stdout);
  });

  it("holds up no other exec of the same sandbox", async () => {
    const gate = Promise.withResolvers<void>();
    await using stalled = new ShellExec(client, deployment.supervisor(), "yes", {
      keep: false,
      readDelay: (messages) => (messages === 1 ? gate.promise : Promise.resolve()),
    });
    await stalled.run.received(1);
    for (let round = 0; round < 20; round++) {
      await using exec = new ShellExec(client, deployment.supervisor(), `echo ${round}`);
      const result = await exec.result;
      expectExit(result, 0, `${round}\n`);
      expect(result.tookMs).toBeLessThan(2_000);
      await sleepMs(100);
    }
    stalled.run.cancel();
    gate.resolve();
    await stalled.noneLeft();
  });
});

describe("all of the above", () => {
  it("lived over one session, of which no backstop had a doubt", async () => {
    expect(deployment.supervisor().process.events("supervisor.ready")).toHaveLength(1);
    expect(await metric(deployment, "belay_connections_dead_total")).toBe(0);
  });
});
