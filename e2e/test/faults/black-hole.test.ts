// The path between gateway and supervisor swallows bytes, one way or both: keepalive notices; where nothing watches, the exec outlives the hole.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { bounds, gatewayBackstops, supervisorBackstops } from "../support/real-backstops.ts";
import { expectExit, expectParked, slackMs, timeToEnd } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

/** Each row has a supervisor of its own, so that all rows can run at once. */
const ways = [
  { which: "up", at: 0 },
  { which: "down", at: 1 },
  { which: "both", at: 2 },
] as const;

let watched: Deployment;
let unwatched: Deployment;
beforeAll(async () => {
  const start = (on: readonly "keepalive"[]) =>
    startDeployment({
      supervisors: ways.length,
      gatewayArgs: gatewayBackstops(on),
      supervisorArgs: supervisorBackstops(on),
    });
  [watched, unwatched] = await Promise.all([start(["keepalive"]), start([])]);
});
afterAll(() => Promise.all([watched, unwatched].map((one) => one[Symbol.asyncDispose]())));

async function running(deployment: Deployment, supervisor: DeployedSupervisor, script: string) {
  const exec = new ShellExec(deployment.client(), supervisor, `echo ready; ${script}`);
  await exec.ready();
  return exec;
}

describe.concurrent.each(ways)("a path that swallows bytes ($which)", ({ which, at }) => {
  it("ends the exec by keepalive alone; both sides let go, and meet again after the healing", async () => {
    const supervisor = watched.supervisor(at);
    await using exec = await running(watched, supervisor, "sleep 300");
    await untilReconnected(supervisor, async () => {
      const mark = supervisor.process.mark();
      supervisor.faults.blackhole(which);
      const { result, tookMs } = await timeToEnd(exec.run);
      expectLost(result);
      expect(tookMs).toBeGreaterThan(bounds.keepalive.notBeforeMs);
      expect(tookMs).toBeLessThan(bounds.keepalive.withinMs + slackMs);
      // The supervisor hears of nothing from the gateway; its own keepalive has to tell it.
      await supervisor.process.waitForEvent("session.lost", { after: mark });
      await exec.noneLeft();
      supervisor.faults.heal();
    });
    const result = await shell(watched.client(), supervisor, "echo again; exit 3");
    expectExit(result, 3, "again\n");
  });

  it("parks the exec where nothing watches, and takes no byte of it", async () => {
    const supervisor = unwatched.supervisor(at);
    // More than any window: where only the way down is dead, output still comes until one is used up.
    await using exec = await running(unwatched, supervisor, "sleep 0.5; seq 1 500000; exit 4");
    supervisor.faults.blackhole(which);
    await expectParked(exec.run, 2.5 * bounds.keepalive.withinMs);
    supervisor.faults.heal();
    const result = await exec.result;
    expectExit(result, 4);
    expect(result.stdout.toString().split("\n").slice(-3)).toEqual(["499999", "500000", ""]);
  });
});
