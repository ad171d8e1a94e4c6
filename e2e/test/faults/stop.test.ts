// Programs that are told to stop: what may finish finishes, what does not is ended and told so, and nothing is left in /proc.
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { atOnceMs, expectError, expectExit, slackMs } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const graceMs = 400;

type Form = "durable" | "plain";

function start(
  drain: { gateway?: number; supervisor?: number },
  form: Form = "plain",
): Promise<Deployment> {
  return startDeployment({
    proxied: false,
    gatewayArgs: flags({
      "termination-grace-ms": graceMs,
      "drain-timeout-ms": drain.gateway ?? 10_000,
    }),
    supervisorArgs: flags({
      "exec-form": form,
      "termination-grace-ms": graceMs,
      "drain-timeout-ms": drain.supervisor ?? 10_000,
    }),
  });
}

const running = [
  "echo ready; sleep 300",
  "trap '' TERM; echo ready; sleep 300 & sleep 300",
  "setsid sleep 300 & echo ready; wait",
  "echo ready; yes",
];

async function startRunning(
  all: AsyncDisposableStack,
  deployment: Deployment,
): Promise<ShellExec[]> {
  const client = deployment.client();
  const execs = running.map((script) =>
    all.use(new ShellExec(client, deployment.supervisor(), script, { keep: false })),
  );
  await Promise.all(execs.map((exec) => exec.run.received(1)));
  return execs;
}

describe("a supervisor that is told to stop", () => {
  it.each<Form>(["plain", "durable"])(
    "takes its processes along after the drain, and their clients hear why (%s)",
    async (form) => {
      await using deployment = await start({ supervisor: 500 }, form);
      await using all = new AsyncDisposableStack();
      const execs = await startRunning(all, deployment);
      const { process } = deployment.supervisor();
      const askedAtMs = performance.now();
      process.kill("SIGTERM");
      for (const result of await Promise.all(execs.map((exec) => exec.result)))
        expectError(result, {
          code: Code.Unavailable,
          message: "supervisor is stopping",
          kind: "supervisor_stopping",
          outcome: "unknown",
          retry: "follow",
        });
      expect(await process.ended()).toEqual({ code: 0, signal: null });
      expect(performance.now() - askedAtMs).toBeLessThan(500 + graceMs + slackMs);
      for (const exec of execs) expect(await exec.processes()).toEqual([]);
    },
  );

  it("does not wait for a connection that durable execs have shared", async () => {
    await using deployment = await start({}, "durable");
    expectExit(await shell(deployment.client(), deployment.supervisor(), "exit 3"), 3);
    const { process } = deployment.supervisor();
    const askedAtMs = performance.now();
    process.kill("SIGTERM");
    expect(await process.ended()).toEqual({ code: 0, signal: null });
    expect(performance.now() - askedAtMs).toBeLessThan(slackMs);
  });

  it.each([
    ["plain", "relay_refused"],
    ["durable", "supervisor_stopping"],
  ] as const)(
    "lets an exec finish within the drain, with its exit, and starts no other (%s)",
    async (form, kind) => {
      await using deployment = await start({}, form);
      const client = deployment.client();
      const { process } = deployment.supervisor();
      await using exec = new ShellExec(
        client,
        deployment.supervisor(),
        "echo ready; sleep 1; exit 6",
      );
      await exec.ready();
      process.kill("SIGTERM");
      await process.waitForEvent("supervisor.draining");
      expectError(await shell(client, deployment.supervisor(), "echo never > never"), {
        code: Code.Unavailable,
        message: /supervisor is stopping/,
        kind,
        outcome: "not_started",
        retry: "now",
      });
      expectExit(await exec.result, 6, "ready\n");
      expect(await process.ended()).toEqual({ code: 0, signal: null });
    },
  );

  it("ends at once at the second signal, and still takes all along", async () => {
    await using deployment = await start({});
    await using all = new AsyncDisposableStack();
    const execs = await startRunning(all, deployment);
    const { process } = deployment.supervisor();
    process.kill("SIGTERM");
    await process.waitForEvent("supervisor.draining");
    const secondAtMs = performance.now();
    process.kill("SIGTERM");
    expect(await process.ended()).toEqual({ code: 1, signal: null });
    expect(performance.now() - secondAtMs).toBeLessThan(atOnceMs);
    for (const exec of execs) {
      await exec.noneLeft(1_000);
      const { code, exit, hung } = await exec.result;
      expect({ code, exit, hung }).toEqual({
        code: Code.Unavailable,
        exit: undefined,
        hung: false,
      });
    }
  });
});

describe("a gateway that is told to stop", () => {
  it("lets a real exec finish, takes no new one, and ends in order", async () => {
    await using deployment = await start({});
    const client = deployment.client();
    const script = "echo ready; sleep 1; seq 1 100000; exit 6";
    await using exec = new ShellExec(client, deployment.supervisor(), script);
    await exec.ready();
    deployment.gateway.kill("SIGTERM");
    await deployment.gateway.waitForEvent("gateway.draining");
    expectError(await shell(client, deployment.supervisor(), "echo never"), {
      code: Code.Unavailable,
      message: /takes no new execs/,
      kind: "gateway_draining",
      outcome: "not_started",
      retry: "now",
      ids: [],
    });
    const result = await exec.result;
    expectExit(result, 6);
    expect(result.stdout.toString().endsWith("\n100000\n")).toBe(true);
    expect(await deployment.gateway.ended()).toEqual({ code: 0, signal: null });
  });

  it("ends what still runs after the drain, and its processes with it", async () => {
    await using deployment = await start({ gateway: 500 });
    await using all = new AsyncDisposableStack();
    const execs = await startRunning(all, deployment);
    deployment.gateway.kill("SIGTERM");
    for (const result of await Promise.all(execs.map((exec) => exec.result)))
      expectError(result, {
        code: Code.Unavailable,
        message: "the gateway stopped before the command had ended",
        kind: "gateway_stopping",
        outcome: "running",
        retry: "follow",
      });
    expect(await deployment.gateway.ended()).toEqual({ code: 0, signal: null });
    await Promise.all(execs.map((exec) => exec.noneLeft()));
    const { process } = deployment.supervisor();
    expect(process.running, "the supervisor waits for a gateway").toBe(true);
  });

  it("is found again by its supervisor when it comes back", async () => {
    await using deployment = await start({});
    const { process } = deployment.supervisor();
    const mark = process.mark();
    await deployment.restartGateway("SIGTERM");
    await process.waitForEvent("supervisor.ready", { after: mark });
    const client = deployment.client();
    expectExit(await shell(client, deployment.supervisor(), "exit 9"), 9);
  });
});
