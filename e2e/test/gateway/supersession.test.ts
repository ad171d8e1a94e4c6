// A newer session of the same sandbox takes over: what ran over the older one ends at once, and what comes next runs on the new one.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Deployment } from "../../src/deployment.ts";
import { ignores } from "../../src/puppet-relays.ts";
import { exits, staysSilent } from "../../src/puppet-ssh.ts";
import { within } from "../../src/wait.ts";
import { atOnceMs, expectError, expectExit } from "../support/expect-exec.ts";
import { metric } from "../support/metrics.ts";
import { startGateway, startScene } from "../support/scene.ts";

let gateway: Deployment;
beforeAll(async () => void (gateway = await startGateway()));
afterAll(() => gateway[Symbol.asyncDispose]());

it("ends the older session's execs, running and pending, at once and truthfully", async () => {
  await using scene = await startScene(gateway, { exec: staysSilent() });
  const client = gateway.client();
  const running = Array.from({ length: 20 }, () => scene.exec(client));
  await scene.running(20);
  const older = scene.puppet;
  older.relays = ignores();
  const pending = scene.exec(client);
  await older.opened(21);

  const takenOverAtMs = performance.now();
  await scene.connect({ exec: exits(0, "on the new one") });
  for (const run of running) {
    expectError(await run.result, {
      code: Code.Unavailable,
      message: "exec relay closed before the command reported an exit status",
      kind: "relay_lost",
      outcome: "unknown",
      retry: "follow",
    });
  }
  expectError(await pending.result, {
    code: Code.Unavailable,
    message: "relay channel dropped",
    kind: "relay_dropped",
    outcome: "not_started",
    retry: "now",
  });
  expect(performance.now() - takenOverAtMs).toBeLessThan(atOnceMs);

  expect(await within("the older session's end", 5_000, older.ended)).toMatchObject({
    code: Code.Aborted,
    rawMessage: "a newer session of this sandbox took over",
  });
  expectExit(await scene.exec(client).result, 0, "on the new one");
  expect(older.execs).toHaveLength(20);
  expect(scene.puppet.execs).toHaveLength(1);
});

it("takes over from a connection that is dead and was not noticed yet", async () => {
  await using scene = await startScene(gateway, { proxied: true, exec: staysSilent() });
  const stuck = scene.exec(gateway.client());
  await scene.running();
  scene.proxy.blackhole();
  // The new one gets through, the old one stays dead.
  const dead = scene.proxy.connections;
  scene.proxy.heal();
  for (const connection of dead) connection.blackhole("both");
  const sinceMs = performance.now();
  await scene.connect({ exec: exits(0, "alive") });
  expect((await stuck.result).code).toBe(Code.Unavailable);
  expect(performance.now() - sinceMs).toBeLessThan(atOnceMs);
  expectExit(await scene.exec(gateway.client()).result, 0, "alive");
});

it("leaves one session per sandbox, and none behind", async () => {
  await using scene = await startScene(gateway);
  for (let n = 0; n < 10; n++) await scene.connect({ exec: exits(n) });
  expect(await metric(gateway, "belay_sessions")).toBe(1);
  expectExit(await scene.exec(gateway.client()).result, 9);
  expect(await metric(gateway, "belay_relays")).toBe(0);
});
