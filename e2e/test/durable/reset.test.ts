// The connection of a supervisor is reset, again and again, under followers of its execs: each gets every byte,
// once, and the true exit; and it has them soon after the supervisor is back.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BelayClient } from "@belay/client";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll, within } from "../../src/wait.ts";
import { CheckedFollower, expectWhole } from "../support/checked-follower.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { metric } from "../support/metrics.ts";
import { bytesOf, printSlowly } from "../support/numbered-lines.ts";
import { p50, resumeTimesMs } from "../support/resume-times.ts";

/** Of the issue: from the supervisor being reachable again, at p50. */
const resumedWithinMs = 300;

let deployment: Deployment;
let client: BelayClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisorArgs: flags({ "reconnect-min-ms": 50, "reconnect-max-ms": 200 }),
  });
  client = deployment.belayClient();
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** Execs that print so many rounds of lines and then wait for a line of input, each with an exit code of its own. */
async function startFollowed(count: number, rounds: number, lines: number) {
  const { sandboxId } = deployment.supervisor();
  const codes = Array.from({ length: count }, (_, at) => at + 1);
  const followed = await Promise.all(
    codes.map(async (code) => {
      const script = `${printSlowly(rounds, lines, { pause: 0.2 })}; read line; exit $line`;
      const exec = await client.start({ sandboxId }, ["sh", "-c", script], { stdin: true });
      return { exec, code, follower: new CheckedFollower(exec) };
    }),
  );
  await Promise.all(followed.map(({ follower }) => follower.first));
  return { followed, bytes: bytesOf(rounds * lines) };
}

/** Gives each its line; resolves when all have ended, well and with all of their output. */
async function expectEndWell({
  followed,
  bytes,
}: Awaited<ReturnType<typeof startFollowed>>): Promise<void> {
  await Promise.all(
    followed.map(async ({ exec, code, follower }) => {
      await exec.writeStdin(`${code}\n`);
      const result = await within(`the result of exec ${code}`, 30_000, follower.result);
      expectWhole(result, code, { stdout: bytes });
    }),
  );
}

/** Resolves when the gateway follows so many execs again, of those that it lost since `mark`. */
async function resumed(count: number, mark: number): Promise<void> {
  const { gateway } = deployment;
  await poll(`${count} resumed execs`, () => gateway.events("exec.resumed", mark).length >= count, {
    detail: () => gateway.tail(),
  });
}

function tellP50(what: string, mark: number): void {
  const times = resumeTimesMs(deployment, mark);
  console.log(`${what}: p50 ${p50(times)} ms of ${times.length}, longest ${times.at(-1)} ms`);
  expect(p50(times)).toBeLessThan(resumedWithinMs);
}

describe("a supervisor whose connection is reset", () => {
  it("under forty followed execs gives forty true results, every byte checked", async () => {
    const execs = 40;
    const supervisor = deployment.supervisor();
    const running = await startFollowed(execs, 12, 1_000);
    const mark = deployment.gateway.mark();
    for (const [at, how] of (["rst", "fin", "rst"] as const).entries()) {
      const cut = () => untilReconnected(supervisor, () => supervisor.faults.cut(how));
      const before = deployment.gateway.mark();
      await cut();
      if (at === 1) await cut(); // while they are being attached again
      await resumed(execs, before);
    }
    await expectEndWell(running);
    tellP50(`resumed, ${execs} execs at once`, mark);
  }, 60_000);

  it("has its exec followed again soon after it is back", async () => {
    const cuts = 12;
    const supervisor = deployment.supervisor();
    const name = "belay_exec_resume_seconds";
    const before = await metric(deployment, `${name}_count`);
    const running = await startFollowed(1, 12, 500);
    const mark = deployment.gateway.mark();
    for (let cut = 1; cut <= cuts; cut++) {
      await untilReconnected(supervisor, () => supervisor.faults.cut("rst"));
      await resumed(cut, mark);
    }
    await expectEndWell(running);
    tellP50("resumed, one exec", mark);
    const count = await metric(deployment, `${name}_count`);
    expect(count - before).toBe(cuts);
    const within300 = await metric(deployment, `${name}_bucket{le="0.3"}`);
    expect(within300).toBeGreaterThanOrEqual(count / 2);
  });
});
