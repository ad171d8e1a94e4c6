// What execs cost the gateway: little when they are silent, and no more for a reader that is slow.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient } from "../../src/client.ts";
import { startExec } from "../../src/collect-exec.ts";
import type { RunningExec } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import { exits } from "../../src/puppet-ssh.ts";
import { poll, sleepMs } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { finish, HeldExecs } from "../support/held-execs.ts";
import { metric, runningExecs } from "../support/metrics.ts";
import { startGateway, startScene } from "../support/scene.ts";
import { StreamingExec } from "../support/streaming-exec.ts";

const MiB = 1024 * 1024;
/** Seconds of work on a machine of its own, and the programs share it with whatever else runs. */
const busyMachineMs = 120_000;

let gateway: Deployment;
beforeAll(async () => void (gateway = await startGateway()));
afterAll(() => gateway[Symbol.asyncDispose]());

const report = (text: string): void => void process.stdout.write(`${text}\n`);

describe("300 silent execs", () => {
  const sandboxes = 10;
  const perSandbox = 30;

  it(
    "cost little memory each, and leave nothing behind",
    async () => {
      await using stack = new AsyncDisposableStack();
      const client = gateway.client();
      const held = new HeldExecs();
      const scenes = await Promise.all(
        Array.from({ length: sandboxes }, () => startScene(gateway, { exec: held.script })),
      );
      for (const scene of scenes) stack.use(scene);
      // Once before measuring: what is loaded and compiled at first use is no cost of an exec.
      const warmUp = scenes.map((scene) => scene.exec(client));
      for (const exec of await held.startedAll(sandboxes)) finish(exec, 0);
      for (const run of warmUp) expectExit(await run.result, 0);

      const beforeBytes = await gateway.gateway.rssBytes();
      const runs: RunningExec[] = [];
      for (const scene of scenes) {
        // In turn: no more relays than this may be pending at once, per sandbox and in all.
        for (let n = 0; n < perSandbox; n++) runs.push(scene.exec(client));
        await scene.running(1 + perSandbox);
      }
      const execs = (await held.startedAll(sandboxes + runs.length)).slice(sandboxes);
      expect(await runningExecs(gateway)).toBe(runs.length);
      const perExecBytes = ((await gateway.gateway.rssBytes()) - beforeBytes) / runs.length;
      report(`gateway RSS per silent exec: ${Math.round(perExecBytes / 1024)} KiB`);
      expect(perExecBytes).toBeLessThan(0.5 * MiB);

      for (const exec of execs) finish(exec, 17);
      for (const run of runs) expectExit(await run.result, 17);
      await poll("no exec to be left", async () => (await runningExecs(gateway)) === 0);
      await poll("no relay to be left", async () => (await metric(gateway, "belay_relays")) === 0);
    },
    busyMachineMs,
  );
});

describe.each([
  { protocol: "grpc", httpVersion: "2" },
  { protocol: "connect", httpVersion: "1.1" },
] as const)("a reader over $protocol, HTTP/$httpVersion", (variant) => {
  it(
    "that stops reading stops a command that writes 50 MB, and loses nothing",
    async () => {
      const totalBytes = 50 * MiB;
      const streaming = new StreamingExec(totalBytes);
      await using scene = await startScene(gateway, { exec: streaming.script });
      await using other = await startScene(gateway, { exec: exits(0, "not held up") });
      using client = openshellClient(gateway.gatewayUrl, variant);
      const beforeBytes = await gateway.gateway.rssBytes();
      const { promise: mayRead, resolve: readOn } = Promise.withResolvers<void>();
      const run = startExec(
        client,
        { sandboxId: scene.sandboxId, command: ["write-much"] },
        { keep: false, readDelay: () => mayRead, limitMs: busyMachineMs },
      );

      // The command stands still: nothing was taken from it for a while, and most is still to come.
      let seenBytes = -1;
      await poll("the command to stand still", async () => {
        const lastBytes = seenBytes;
        seenBytes = streaming.sentBytes;
        await sleepMs(150);
        return seenBytes > 0 && seenBytes === lastBytes && seenBytes === streaming.sentBytes;
      });
      expect(streaming.sentBytes).toBeLessThan(totalBytes / 2);
      const grownBytes = (await gateway.gateway.rssBytes()) - beforeBytes;
      report(
        `${variant.protocol} over HTTP/${variant.httpVersion}: the command wrote ` +
          `${(streaming.sentBytes / MiB).toFixed(1)} MiB, gateway RSS grew ${(grownBytes / MiB).toFixed(1)} MiB`,
      );
      expect(grownBytes).toBeLessThan(60 * MiB);
      expectExit(await other.exec(gateway.client()).result, 0, "not held up");

      readOn();
      const result = await run.result;
      expectExit(result, 0);
      expect(result.totals.stdout).toEqual({ bytes: totalBytes, sha256: streaming.sha256() });
      expect((await gateway.gateway.rssBytes()) - beforeBytes).toBeLessThan(120 * MiB);
    },
    busyMachineMs,
  );
});
