// A supervisor's connection is reset under forty running execs, or the supervisor is killed: each ends at once, truthfully, and new ones work.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll } from "../../src/wait.ts";
import { atOnceMs, expectExit } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { metric, runningExecs } from "../support/metrics.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const execsAtOnce = 40;

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisorArgs: flags({
      "exec-form": "plain",
      "orphan-window-ms": 500,
      "reconnect-max-ms": 300,
    }),
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** Some silent, some in the middle of their output; all running. */
async function startForty(all: AsyncDisposableStack): Promise<ShellExec[]> {
  const execs: ShellExec[] = [];
  while (execs.length < execsAtOnce) {
    const batch = Array.from({ length: 20 }, (_, at) => {
      const then = at % 4 === 0 ? "while :; do seq 1 1000; sleep 0.05; done" : "sleep 300";
      const script = `echo ready; ${then}`;
      return all.use(new ShellExec(client, deployment.supervisor(), script, { keep: false }));
    });
    await Promise.all(batch.map((exec) => exec.run.received(1)));
    execs.push(...batch);
  }
  return execs;
}

async function expectAllLostAtOnce(execs: readonly ShellExec[], sinceMs: number): Promise<void> {
  const results = await Promise.all(execs.map((exec) => exec.result));
  expect(performance.now() - sinceMs).toBeLessThan(atOnceMs);
  for (const result of results) expectLost(result);
  await poll("no exec and no relay left", async () => {
    const left = await Promise.all([runningExecs(deployment), metric(deployment, "belay_relays")]);
    return left.every((count) => count === 0);
  });
}

async function expectNewExecsWork(): Promise<void> {
  const results = await Promise.all(
    Array.from({ length: 10 }, (_, id) => shell(client, deployment.supervisor(), `exit ${id}`)),
  );
  for (const [id, result] of results.entries()) expectExit(result, id);
}

describe("forty running execs", () => {
  it.each(["rst", "fin"] as const)(
    "end at once when their connection ends with %s",
    async (how) => {
      await using all = new AsyncDisposableStack();
      const execs = await startForty(all);
      await untilReconnected(deployment.supervisor(), async () => {
        const cutAtMs = performance.now();
        deployment.supervisor().faults.cut(how);
        await expectAllLostAtOnce(execs, cutAtMs);
      });
      await expectNewExecsWork();
      // Nothing unreachable runs for ever: their windows end.
      await Promise.all(execs.map((exec) => exec.noneLeft()));
    },
  );

  it("end at once when their supervisor is killed", async () => {
    await using all = new AsyncDisposableStack();
    const execs = await startForty(all);
    const killedAtMs = performance.now();
    deployment.supervisor().process.kill("SIGKILL");
    await expectAllLostAtOnce(execs, killedAtMs);
    await deployment.supervisor().start();
    await expectNewExecsWork();
  });
});

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  it("a reset is UNAVAILABLE with its detail, never an exit", async () => {
    using own = openshellClient(deployment.gatewayUrl, variant);
    await using exec = new ShellExec(own, deployment.supervisor(), "echo ready; sleep 300");
    await exec.ready();
    await untilReconnected(deployment.supervisor(), async () => {
      deployment.supervisor().faults.cut("rst");
      expectLost(await exec.result);
    });
  });
});

describe("an exec that comes while the supervisor is away", () => {
  it("waits for its return", async () => {
    const { faults } = deployment.supervisor();
    faults.refuse();
    faults.cut("rst");
    await poll("the session's end", async () => (await metric(deployment, "belay_sessions")) === 0);
    await using exec = new ShellExec(client, deployment.supervisor(), "echo back; exit 3");
    await poll("the exec to wait", async () => (await runningExecs(deployment)) === 1);
    faults.heal();
    expectExit(await exec.result, 3, "back\n");
  });
});
