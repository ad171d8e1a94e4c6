// What a client is told of a command's end, over every protocol: what the kernel reported, or that nobody knows.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import type { Deployment } from "../../src/deployment.ts";
import {
  closesWithoutStatus,
  endsBySignal,
  endsRelayAfter,
  exits,
  wedgesAfter,
} from "../../src/puppet-ssh.ts";
import type { ExecBehaviour } from "../../src/puppet-ssh.ts";
import {
  atOnceMs,
  expectError,
  expectExit,
  expectParked,
  timeToEnd,
} from "../support/expect-exec.ts";
import { finish, finishBySignal, HeldExecs } from "../support/held-execs.ts";
import { startGateway, startScene } from "../support/scene.ts";

let gateway: Deployment;
beforeAll(async () => {
  gateway = await startGateway(["--termination-grace-ms", "500", "--kill-wait-ms", "500"]);
});
afterAll(() => gateway[Symbol.asyncDispose]());

const lost = {
  code: Code.Unavailable,
  message: "exec relay closed before the command reported an exit status",
  kind: "relay_lost",
  outcome: "unknown",
  retry: "follow",
  ids: ["execId", "sandboxId", "sessionId", "channelId"],
} as const;

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  let client: OpenShellClient;
  beforeAll(() => void (client = openshellClient(gateway.gatewayUrl, variant)));
  afterAll(() => client[Symbol.dispose]());

  async function run(exec: ExecBehaviour): Promise<Awaited<ReturnType<typeof timeToEnd>>> {
    await using scene = await startScene(gateway, { exec });
    return await timeToEnd(scene.exec(client));
  }

  it.each([0, 1, 3, 124, 126, 127, 255])("an exit code of %i is told as it is", async (code) => {
    const { result } = await run(exits(code, "out", "err"));
    expectExit(result, code, "out");
    expect(result.stderr.toString()).toBe("err");
    expect(result.exit).toMatchObject({ reason: "exited", signal: "", outputIncomplete: false });
    expect(result.exit?.execId).not.toBe("");
  });

  it.each([
    ["KILL", 137],
    ["TERM", 143],
    ["SEGV", 139],
    ["HUP", 129],
  ])("an end by %s is 128 + n, with the signal's name", async (signal, code) => {
    const { result } = await run(endsBySignal(signal, "so far"));
    expectExit(result, code, "so far");
    expect(result.exit).toMatchObject({ reason: "signaled", signal });
  });

  it("a close without a status is no exit", async () => {
    const { result } = await run(closesWithoutStatus("half"));
    expectError(result, lost);
    expect(result.stdout.toString()).toBe("half");
  });

  it("a relay that ends before the status is no exit, and is told at once", async () => {
    const { result, tookMs } = await run(endsRelayAfter("half"));
    expectError(result, lost);
    expect(result.stdout.toString()).toBe("half");
    expect(tookMs).toBeLessThan(atOnceMs);
  });

  it("a relay stream that is reset before the status is no exit, and is told at once", async () => {
    await using scene = await startScene(gateway, { exec: wedgesAfter("half") });
    const exec = scene.exec(client);
    await exec.received("half");
    const resetAtMs = performance.now();
    scene.puppet.claims[0]?.destroy();
    const { result, tookMs } = await timeToEnd(exec, resetAtMs);
    expectError(result, lost);
    expect(tookMs).toBeLessThan(atOnceMs);
  });

  it("a relay that the supervisor takes back is told with the supervisor's reason", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const exec = scene.exec(client);
    await scene.running();
    const { channelId } = await scene.puppet.opened();
    scene.puppet.closeRelay(channelId, "the machine goes down");
    expectError(await exec.result, {
      ...lost,
      message: "the machine goes down",
      kind: "supervisor_stopping",
    });
  });
});

describe.concurrent("timeout_seconds", () => {
  it("reports 124 only when the command is gone, after TERM", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const run = scene.exec(gateway.client(), { timeoutSeconds: 1 });
    await held.signaled("TERM");
    await expectParked(run, 200);
    finishBySignal(held.all[0]!, "TERM");
    const result = await run.result;
    expectExit(result, 124);
    expect(result.exit).toMatchObject({ reason: "timed_out", signal: "" });
    expect(result.tookMs).toBeGreaterThanOrEqual(950);
    expect(held.all[0]?.signals).toEqual(["TERM"]);
  });

  it("reports 124 when it took a KILL", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const run = scene.exec(gateway.client(), { timeoutSeconds: 1 });
    await held.signaled("KILL");
    finishBySignal(held.all[0]!, "KILL");
    expectExit(await run.result, 124);
    expect(held.all[0]?.signals).toEqual(["TERM", "KILL"]);
  });

  it("does not claim an end that was never confirmed", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const { result } = await timeToEnd(scene.exec(gateway.client(), { timeoutSeconds: 1 }));
    expectError(result, {
      code: Code.Unavailable,
      message: /^the command was killed, its end was not confirmed/,
      kind: "termination_unconfirmed",
      outcome: "running",
      retry: "follow",
    });
    expect(result.tookMs).toBeGreaterThanOrEqual(1_000 + 500 + 500 - 100);
  });

  it("leaves a command alone that ended in time", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const run = scene.exec(gateway.client(), { timeoutSeconds: 60 });
    finish(await held.started(), 9, "in time");
    expectExit(await run.result, 9, "in time");
  });
});
