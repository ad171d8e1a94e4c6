// A program that is stopped while its kernel still holds its sockets: each backstop alone notices, and without any the exec stays parked.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { openshellClient } from "../../src/client.ts";
import { bounds, gatewayBackstops, supervisorBackstops } from "../support/real-backstops.ts";
import { expectExit, expectParked, slackMs, timeToEnd } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const watchedBy = ["keepalive", "heartbeat", "sshKeepalive"] as const;
type Case = (typeof watchedBy)[number] | "nothing";

const deployments = new Map<Case, Deployment>();
beforeAll(async () => {
  await Promise.all(
    [...watchedBy, "nothing" as const].map(async (backstop) => {
      const only = backstop === "nothing" ? [] : [backstop];
      const deployment = await startDeployment({
        gatewayArgs: gatewayBackstops(only),
        supervisorArgs: supervisorBackstops(only),
      });
      deployments.set(backstop, deployment);
    }),
  );
});
afterAll(() => Promise.all([...deployments.values()].map((one) => one[Symbol.asyncDispose]())));

describe.concurrent("a frozen supervisor", () => {
  it.each(watchedBy)("is noticed by %s alone, and works again when it thaws", async (backstop) => {
    const deployment = deployments.get(backstop)!;
    const supervisor = deployment.supervisor();
    const client = deployment.client();
    await using exec = new ShellExec(client, supervisor, "echo ready; sleep 300");
    await exec.ready();
    supervisor.process.freeze();
    const { result, tookMs } = await timeToEnd(exec.run);
    expectLost(result);
    expect(tookMs).toBeGreaterThan(bounds[backstop].notBeforeMs);
    expect(tookMs).toBeLessThan(bounds[backstop].withinMs + slackMs);
    if (backstop === "sshKeepalive") supervisor.process.thaw();
    else await untilReconnected(supervisor, () => supervisor.process.thaw());
    expectExit(await shell(client, supervisor, "echo again; exit 3"), 3, "again\n");
    await exec.noneLeft();
  });

  it("parks its exec where nothing watches, and the exec goes on when it thaws", async () => {
    const deployment = deployments.get("nothing")!;
    const supervisor = deployment.supervisor();
    const client = deployment.client();
    await using exec = new ShellExec(client, supervisor, "echo ready; sleep 1; echo late; exit 4");
    await exec.ready();
    supervisor.process.freeze();
    await expectParked(exec.run, 3 * bounds.keepalive.withinMs);
    supervisor.process.thaw();
    expectExit(await exec.result, 4, "ready\nlate\n");
  });
});

describe("a frozen gateway", () => {
  it("is noticed by a client with a keepalive and by the supervisor, which returns when it thaws", async () => {
    const deployment = deployments.get("keepalive")!;
    const supervisor = deployment.supervisor();
    using client = openshellClient(deployment.clientUrl, {
      pingIntervalMs: 500,
      pingTimeoutMs: 500,
    });
    await using exec = new ShellExec(client, supervisor, "echo ready; sleep 300");
    await exec.ready();
    const mark = supervisor.process.mark();
    deployment.gateway.freeze();
    const { result, tookMs } = await timeToEnd(exec.run);
    expect(result).toMatchObject({ hung: false, exit: undefined });
    expect(result.error).toBeDefined();
    expect(tookMs).toBeLessThan(1_000 + slackMs);
    await supervisor.process.waitForEvent("session.lost", { after: mark });
    await exec.noneLeft(); // its orphan window is short
    await untilReconnected(supervisor, () => deployment.gateway.thaw());
    expectExit(await shell(deployment.client(), supervisor, "echo again; exit 3"), 3, "again\n");
  });

  it("ends a call with a deadline at its deadline", async () => {
    const deployment = deployments.get("keepalive")!;
    const supervisor = deployment.supervisor();
    using client = openshellClient(deployment.clientUrl);
    await using exec = new ShellExec(client, supervisor, "echo ready; sleep 300", {
      timeoutMs: 1_500,
    });
    await exec.ready();
    deployment.gateway.freeze();
    const { result } = await timeToEnd(exec.run);
    expect(result.error?.message).toContain("deadline_exceeded");
    deployment.gateway.thaw();
    await exec.noneLeft();
  });

  it("is not noticed by a supervisor that does not look", async () => {
    const deployment = deployments.get("nothing")!;
    const supervisor = deployment.supervisor();
    const mark = supervisor.process.mark();
    await using exec = new ShellExec(
      deployment.client(),
      supervisor,
      "echo ready; sleep 1; exit 5",
    );
    await exec.ready();
    deployment.gateway.freeze();
    await expectParked(exec.run, 3 * bounds.keepalive.withinMs);
    expect(supervisor.process.events("session.lost", mark)).toEqual([]);
    deployment.gateway.thaw();
    expectExit(await exec.result, 5, "ready\n");
  });
});
