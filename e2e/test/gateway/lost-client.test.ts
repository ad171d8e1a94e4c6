// The client's side of liveness: whoever is gone, or no longer wants the exec, ends the command: TERM, a grace, KILL.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { Deployment } from "../../src/deployment.ts";
import { ignoresExec } from "../../src/puppet-ssh.ts";
import { poll, sleepMs, within } from "../../src/wait.ts";
import { bounds, gatewayWithOnly, gatewayWithoutBackstops } from "../support/backstops.ts";
import { atOnceMs, slackMs } from "../support/expect-exec.ts";
import { finishBySignal, HeldExecs } from "../support/held-execs.ts";
import { runningExecs } from "../support/metrics.ts";
import { startGateway, startScene } from "../support/scene.ts";

/** Long enough for a command to start on a busy machine. */
const deadlineMs = 2_000;

let watched: Deployment;
let unwatched: Deployment;
let impatient: Deployment;
beforeAll(async () => {
  [watched, unwatched, impatient] = await Promise.all([
    gatewayWithOnly("keepalive"),
    gatewayWithoutBackstops(),
    startGateway(["--termination-grace-ms", "400", "--kill-wait-ms", "600"]),
  ]);
});
afterAll(() =>
  Promise.all([watched, unwatched, impatient].map((one) => one[Symbol.asyncDispose]())),
);
afterEach(() => {
  for (const gateway of [watched, unwatched]) gateway.heal();
});

describe("a client whose path swallows everything", () => {
  it("is noticed by HTTP/2 keepalive, and its command ended", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(watched, { exec: held.script });
    scene.exec(watched.client());
    await scene.running();
    const faultAtMs = performance.now();
    watched.clientProxy.blackhole();
    await held.signaled("TERM");
    const tookMs = performance.now() - faultAtMs;
    expect(tookMs).toBeGreaterThanOrEqual(bounds.keepalive.timeoutMs * 0.9);
    expect(tookMs).toBeLessThan(bounds.keepalive.withinMs + slackMs);
    finishBySignal(held.all[0]!, "TERM");
    await poll("the exec's end", async () => (await runningExecs(watched)) === 0);
  });

  it("holds its command parked without it", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(unwatched, { exec: held.script });
    scene.exec(unwatched.client());
    await scene.running();
    unwatched.clientProxy.blackhole();
    await sleepMs(3 * bounds.keepalive.withinMs);
    expect(held.all[0]?.signals).toEqual([]);
    expect(await runningExecs(unwatched)).toBe(1);
  });
});

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  it.each(["cancel", "fin", "rst"] as const)("a %s ends the command at once", async (how) => {
    const held = new HeldExecs();
    await using scene = await startScene(unwatched, { exec: held.script });
    using client = openshellClient(unwatched.clientUrl, variant);
    const run = scene.exec(client);
    await scene.running();
    const goneAtMs = performance.now();
    if (how === "cancel") run.cancel();
    else unwatched.clientProxy.cut(how);
    await held.signaled("TERM");
    expect(performance.now() - goneAtMs).toBeLessThan(atOnceMs);
    finishBySignal(held.all[0]!, "TERM");
    await run.result;
  });
});

describe("the caller's own deadline", () => {
  it.concurrent.each(wireVariants)(
    "ends the command, over $protocol, HTTP/$httpVersion",
    async (variant) => {
      const held = new HeldExecs();
      await using scene = await startScene(unwatched, { exec: held.script });
      using client = openshellClient(unwatched.gatewayUrl, variant);
      const run = scene.exec(client, {}, { timeoutMs: deadlineMs });
      await scene.running();
      await held.signaled("TERM");
      finishBySignal(held.all[0]!, "TERM");
      expect((await run.result).tookMs).toBeGreaterThanOrEqual(deadlineMs * 0.9);
    },
  );
});

describe("a canceled command that ignores TERM", () => {
  it("is killed after the grace, and let go once its end is confirmed", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(impatient, { exec: held.script });
    const run = scene.exec(impatient.client());
    await scene.running();
    const canceledAtMs = performance.now();
    run.cancel();
    await held.signaled("KILL");
    expect(performance.now() - canceledAtMs).toBeGreaterThanOrEqual(360);
    expect(held.all[0]?.signals).toEqual(["TERM", "KILL"]);
    expect(await runningExecs(impatient)).toBe(1);
    finishBySignal(held.all[0]!, "KILL");
    await poll("the exec's end", async () => (await runningExecs(impatient)) === 0);
  });

  it("is given up when not even KILL is confirmed, so that nothing is held for ever", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(impatient, { exec: held.script });
    const mark = impatient.gateway.mark();
    scene.exec(impatient.client(), {}, { timeoutMs: deadlineMs });
    await held.signaled("KILL");
    await poll("the exec's end", async () => (await runningExecs(impatient)) === 0);
    const failed = await impatient.gateway.waitForEvent("exec.failed", { after: mark });
    expect(failed.fields["kind"]).toBe("termination_unconfirmed");
  });
});

describe("a cancel that overtakes the start of its command", () => {
  it("takes the relay away at once, which ends whatever may still start on it", async () => {
    await using scene = await startScene(unwatched, { exec: ignoresExec });
    using client = openshellClient(unwatched.gatewayUrl);
    const run = scene.exec(client);
    const { relay } = await scene.puppet.execRequested();
    const canceledAtMs = performance.now();
    run.cancel();
    await within("the relay's end", 10_000, relay.ended);
    expect(performance.now() - canceledAtMs).toBeLessThan(atOnceMs);
  });
});
