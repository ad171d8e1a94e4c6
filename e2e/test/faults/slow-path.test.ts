// A path that is slow is not dead: delay, jitter and throttle change when output arrives, not what arrives.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { localTotals } from "../support/local-run.ts";
import { shell } from "../support/shell-exec.ts";

const mebibyte = 1024 * 1024;
/** 8 MB on stdout, 5 MB on stderr, at the same time. */
const bothStreams = "seq 1 1100000 & seq 1000000 1700000 >&2 & wait";
const keepalives = {
  "keepalive-interval-ms": 400,
  "keepalive-timeout-ms": 800,
  "ssh-keepalive-interval-ms": 400,
  "ssh-keepalive-missed": 3,
};

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    gatewayArgs: flags({ ...keepalives, "heartbeat-interval-ms": 400, "heartbeat-missed": 3 }),
    supervisorArgs: flags({ "exec-form": "plain", ...keepalives, "heartbeat-missed": 3 }),
  });
  client = deployment.client();
});
afterEach(() => deployment.heal());
afterAll(() => deployment[Symbol.asyncDispose]());

async function expectAllOfIt(script: string, limitMs: number): Promise<void> {
  const expected = await localTotals(script);
  const result = await shell(client, deployment.supervisor(), `${script}; exit 8`, {
    keep: false,
    limitMs,
  });
  expectExit(result, 8);
  expect(result.totals).toEqual(expected);
}

describe("large output on both streams, with every keepalive short", () => {
  it("arrives whole over a path with delay, jitter and a throttle", async () => {
    deployment.supervisor().faults.delay(15, 20);
    deployment.supervisor().faults.throttle(8 * mebibyte);
    await expectAllOfIt(bothStreams, 25_000);
  });

  it("arrives whole when only the way up is narrow, far below what the command writes", async () => {
    deployment.supervisor().faults.throttle(3 * mebibyte, "up");
    await expectAllOfIt("seq 1 1000000", 25_000);
  });

  it("arrives whole when the client's path is the narrow one", async () => {
    deployment.clientProxy.throttle(6 * mebibyte, "down");
    await expectAllOfIt(bothStreams, 25_000);
  });

  it("arrives whole while the path stutters, for less than a keepalive at a time", async () => {
    const { faults } = deployment.supervisor();
    let stuttering = true;
    const stutter = (async () => {
      while (stuttering) {
        faults.blackhole("both");
        await sleepMs(150);
        faults.heal();
        await sleepMs(100);
      }
    })();
    await expectAllOfIt(`for i in 1 2 3 4 5 6; do seq 1 150000; sleep 0.2; done`, 25_000);
    stuttering = false;
    await stutter;
  });
});

describe("a distant supervisor", () => {
  it("ends short execs truthfully, however many round trips each takes", async () => {
    deployment.supervisor().faults.delay(60, 30);
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, id) =>
        shell(client, deployment.supervisor(), `cat; echo ${id} >&2; exit ${id}`, {
          request: { stdin: Buffer.from(`input ${id}`) },
        }),
      ),
    );
    for (const [id, result] of results.entries()) {
      expectExit(result, id, `input ${id}`);
      expect(result.stderr.toString()).toBe(`${id}\n`);
    }
  });
});

describe("all of the above", () => {
  it("passed over one session: what was slow was never taken for dead", () => {
    expect(deployment.supervisor().process.events("supervisor.ready")).toHaveLength(1);
  });
});
