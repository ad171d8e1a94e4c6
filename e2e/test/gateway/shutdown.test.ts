// Stopping: a drain that lets execs finish, a bound that ends them, a second signal that does not wait. Nothing hangs.
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { RunningExec } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import { ignores } from "../../src/puppet-relays.ts";
import { within } from "../../src/wait.ts";
import { RawConnection } from "../support/raw-connection.ts";
import {
  atOnceMs,
  expectError,
  expectExit,
  expectParked,
  slackMs,
} from "../support/expect-exec.ts";
import type { ExpectedError } from "../support/expect-exec.ts";
import { finish, HeldExecs } from "../support/held-execs.ts";
import { startGateway, startScene } from "../support/scene.ts";
import type { Scene } from "../support/scene.ts";

const cleanExit = { code: 0, signal: null };
/** Connections may flush what they have for so long at the very end. No setting moves it. */
const closeMs = 2_000;

const draining: ExpectedError = {
  code: Code.Unavailable,
  message: "the gateway is shutting down and takes no new execs",
  kind: "gateway_draining",
  outcome: "not_started",
  retry: "now",
  ids: [],
};
const stopping: ExpectedError = {
  code: Code.Unavailable,
  message: "the gateway stopped before the command had ended",
  kind: "gateway_stopping",
  outcome: "running",
  retry: "follow",
  ids: ["execId", "sandboxId", "sessionId", "channelId"],
};

/** A gateway whose only exec runs, and a client that is connected. */
async function busyGateway(
  ...args: string[]
): Promise<
  { gateway: Deployment; scene: Scene; held: HeldExecs; run: RunningExec } & AsyncDisposable
> {
  const gateway = await startGateway(args);
  const held = new HeldExecs();
  const scene = await startScene(gateway, { exec: held.script });
  const run = scene.exec(gateway.client());
  await scene.running();
  return {
    gateway,
    scene,
    held,
    run,
    async [Symbol.asyncDispose]() {
      await scene[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

async function stop(gateway: Deployment): Promise<void> {
  gateway.gateway.kill("SIGTERM");
  await gateway.gateway.waitForEvent("gateway.draining");
}

describe.concurrent("a drain", () => {
  it("takes no new exec over any protocol, lets the running one finish, and exits 0", async () => {
    await using busy = await busyGateway();
    const { gateway, scene, held, run } = busy;
    await stop(gateway);
    const readyz = await fetch(`${gateway.gatewayUrl}/readyz`);
    expect(readyz.status).toBe(503);
    expect(await fetch(`${gateway.gatewayUrl}/healthz`)).toMatchObject({ status: 200 });
    for (const variant of wireVariants) {
      using client = openshellClient(gateway.gatewayUrl, variant);
      expectError(await scene.exec(client).result, draining);
    }
    await expectParked(run, 300);
    expect(gateway.gateway.running).toBe(true);

    const finishedAtMs = performance.now();
    finish(held.all[0]!, 8, "finished in the drain");
    expectExit(await run.result, 8, "finished in the drain");
    expect(await gateway.gateway.ended()).toEqual(cleanExit);
    expect(performance.now() - finishedAtMs).toBeLessThan(closeMs + slackMs);
    expect(held.all[0]?.signals).toEqual([]);
  });

  it("that has nothing to wait for ends at once, whoever is connected", async () => {
    await using gateway = await startGateway();
    await using scene = await startScene(gateway);
    expectExit(await scene.exec(gateway.client()).result, 0);
    using silent = new RawConnection(gateway.gatewayUrl);
    silent.say("PR");
    const sinceMs = performance.now();
    gateway.gateway.kill("SIGTERM");
    expect(await gateway.gateway.ended()).toEqual(cleanExit);
    expect(performance.now() - sinceMs).toBeLessThan(closeMs + slackMs);
    await within("the session's end", 5_000, scene.puppet.ended);
  });

  it("ends what still runs at its bound, with the truth", async () => {
    const boundMs = 1_000;
    await using busy = await busyGateway("--drain-timeout-ms", String(boundMs));
    const { gateway, scene, run } = busy;
    scene.puppet.relays = ignores();
    const pending = scene.exec(gateway.client());
    await scene.puppet.opened(2);
    const sinceMs = performance.now();
    await stop(gateway);
    expectError(await run.result, stopping);
    const tookMs = performance.now() - sinceMs;
    expect(tookMs).toBeGreaterThanOrEqual(boundMs * 0.9);
    expect(tookMs).toBeLessThan(boundMs + slackMs);
    expectError(await pending.result, {
      ...stopping,
      outcome: "not_started",
      retry: "now",
      ids: ["execId"],
    });
    expect(await gateway.gateway.ended()).toEqual(cleanExit);
    expect(performance.now() - sinceMs).toBeLessThan(boundMs + 2 * closeMs + slackMs);
  });
});

describe.concurrent("a second signal", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "%s ends everything at once, with the truth",
    async (signal) => {
      await using busy = await busyGateway();
      const { gateway, run } = busy;
      await stop(gateway);
      await expectParked(run, 200);
      const sinceMs = performance.now();
      gateway.gateway.kill(signal);
      expectError(await run.result, stopping);
      expect(performance.now() - sinceMs).toBeLessThan(atOnceMs);
      expect(await gateway.gateway.ended()).toEqual(cleanExit);
      expect(performance.now() - sinceMs).toBeLessThan(closeMs + slackMs);
    },
  );
});

describe.concurrent("a stop hangs on nobody", () => {
  it("not on a client that does not read, nor on a supervisor whose path is dead", async () => {
    const boundMs = 500;
    await using gateway = await startGateway(["--drain-timeout-ms", String(boundMs)], {
      proxied: true,
    });
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { proxied: true, exec: held.script });
    const run = scene.exec(gateway.client());
    await scene.running();
    scene.proxy.blackhole();
    gateway.clientProxy.blackhole();
    const sinceMs = performance.now();
    gateway.gateway.kill("SIGTERM");
    expect(await gateway.gateway.ended()).toEqual(cleanExit);
    expect(performance.now() - sinceMs).toBeLessThan(boundMs + 2 * closeMs + slackMs);
    gateway.heal();
    expect(await run.result).toMatchObject({ exit: undefined, hung: false });
  });
});
