// The gateway is killed and comes back on the same port with the same data: its supervisors return, and execs work.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const supervisors = 3;

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors,
    proxied: false,
    supervisorArgs: flags({
      "exec-form": "plain",
      "orphan-window-ms": 1_000,
      "reconnect-max-ms": 500,
    }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** Resolves once each supervisor has a session with the new gateway. */
async function restart(signal: NodeJS.Signals): Promise<void> {
  const marks = deployment.supervisors.map(({ process }) => process.mark());
  await deployment.restartGateway(signal);
  await Promise.all(
    deployment.supervisors.map(({ process }, at) =>
      process.waitForEvent("supervisor.ready", { after: marks[at]! }),
    ),
  );
}

async function execsWork(): Promise<void> {
  using client = openshellClient(deployment.gatewayUrl);
  for (const [at, supervisor] of deployment.supervisors.entries()) {
    const result = await shell(client, supervisor, `pwd; exit ${at}`);
    expectExit(result, at, `${supervisor.home}\n`);
  }
}

describe.each(["SIGKILL", "SIGTERM"] as const)("a gateway that ends by %s", (signal) => {
  it("gets its supervisors and sandboxes back when it returns on the same port", async () => {
    const portBefore = deployment.gatewayUrl;
    await restart(signal);
    expect(deployment.gatewayUrl).toBe(portBefore);
    using client = openshellClient(deployment.gatewayUrl);
    const { sandboxes } = await client.listSandboxes({});
    expect(new Set(sandboxes.map((one) => one.metadata?.name))).toEqual(
      new Set(["sandbox-1", "sandbox-2", "sandbox-3"]),
    );
    await execsWork();
  });
});

describe("a gateway that is killed under a running exec", () => {
  it("ends its client's call with an error, and the command after its orphan window", async () => {
    using client = openshellClient(deployment.gatewayUrl);
    await using exec = new ShellExec(client, deployment.supervisor(), "echo ready; sleep 300");
    await exec.ready();
    await restart("SIGKILL");
    const result = await exec.result;
    expect(result).toMatchObject({ hung: false, exit: undefined, violations: [] });
    expect(result.error).toBeDefined();
    await exec.noneLeft();
    await execsWork();
  });

  it("does not keep a command from ending well on its own within the window", async () => {
    using client = openshellClient(deployment.gatewayUrl);
    const script = "echo ready; sleep 0.5; echo survived > side";
    await using exec = new ShellExec(client, deployment.supervisor(), script);
    await exec.ready();
    await restart("SIGKILL");
    await exec.result;
    await exec.noneLeft();
    using another = openshellClient(deployment.gatewayUrl);
    expectExit(await shell(another, deployment.supervisor(), "cat side"), 0, "survived\n");
  });
});
