// Two supervisors of one sandbox: the newer session wins, and what ran over the older one hears of it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { atOnceMs, expectExit } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { metric } from "../support/metrics.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    // The keepalive must not be what ends the stale session.
    gatewayArgs: flags({ "keepalive-interval-ms": 0, "heartbeat-interval-ms": 0 }),
    supervisorArgs: flags({
      "exec-form": "plain",
      "orphan-window-ms": 300,
      "keepalive-interval-ms": 400,
      "keepalive-timeout-ms": 400,
      "reconnect-max-ms": 300,
    }),
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe("a stale session, whose path is dead and which the gateway still holds for alive", () => {
  it("is superseded when its supervisor comes back, and its execs end at once", async () => {
    const supervisor = deployment.supervisor();
    await using exec = new ShellExec(client, supervisor, "echo ready; sleep 300");
    await exec.ready();
    const [stale] = supervisor.faults.connections;
    await untilReconnected(supervisor, () => stale!.blackhole("both"));
    const backAtMs = performance.now();
    expectLost(await exec.result);
    expect(performance.now() - backAtMs).toBeLessThan(atOnceMs);
    expect(await metric(deployment, "belay_sessions")).toBe(1);
    expectExit(await shell(client, supervisor, "exit 4"), 4);
    await exec.noneLeft();
    stale!.heal();
    // The old connection's late end is nobody's business any more.
    expectExit(await shell(client, supervisor, "exit 5"), 5);
    expect(await metric(deployment, "belay_sessions")).toBe(1);
  });
});

describe("a second supervisor for the same sandbox", () => {
  it("takes over: new execs go to it, the first says so and does not fight", async () => {
    const first = deployment.supervisor();
    await using exec = new ShellExec(client, first, "echo ready; sleep 300");
    await exec.ready();
    const mark = first.process.mark();
    const second = await deployment.addSupervisor({
      name: first.name,
      args: flags({ "reconnect-max-ms": 60_000 }),
    });
    expect(second.sandboxId).toBe(first.sandboxId);
    await first.process.waitForEvent("session.superseded", { after: mark });
    expectLost(await exec.result);
    // The first comes back once after its longest delay; whoever is newest serves.
    const result = await shell(client, second, "pwd");
    expect([`${first.home}\n`, `${second.home}\n`]).toContain(result.stdout.toString());
    expectExit(result, 0);
    await second.process.stop();
  });
});
