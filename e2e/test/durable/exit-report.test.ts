// The way is lost between a command's end and its report: the supervisor keeps the report for who comes back.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import type { CutHow } from "../../src/fault-plan.ts";
import { findProcesses } from "../../src/processes.ts";
import { poll } from "../../src/wait.ts";
import { CheckedFollower, expectWhole } from "../support/checked-follower.ts";
import { expectExit } from "../support/expect-exec.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { bytesOf, linesAt, printLines } from "../support/numbered-lines.ts";
import { ShellExec } from "../support/shell-exec.ts";

const cuts = [
  { how: "rst", at: 0 },
  { how: "fin", at: 1 },
] as const satisfies { how: CutHow; at: number }[];

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors: 2 * cuts.length, // one for each test: they run at once
    supervisorArgs: flags({ "reconnect-max-ms": 200 }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

const lines = 500;
/** What comes after the STOP comes when the test wants it. */
const script = `${printLines(lines)}; kill -STOP $$; ${printLines(lines, { after: lines })}; exit 7`;

/** Lets the stopped command end while nothing of the supervisor gets through, and then cuts in this way. */
async function loseTheReport(
  supervisor: DeployedSupervisor,
  { marker, how, received }: { marker: string; how: CutHow; received: () => number },
): Promise<void> {
  const { faults, process: program } = supervisor;
  const stopped = await poll("the command to stop", async () =>
    (await findProcesses({ env: marker })).find(({ state }) => state === "T"),
  );
  faults.blackhole("up");
  process.kill(stopped.pid, "SIGCONT");
  await program.waitForEvent("exec.ended");
  expect(received(), "came before the end").toBe(bytesOf(lines));
  await untilReconnected(supervisor, () => {
    faults.cut(how);
    faults.heal();
  });
}

describe.concurrent.each(cuts)("a report that a $how overtakes", ({ how, at }) => {
  it.concurrent("reaches the client of ExecSandbox, with all output before it", async () => {
    const supervisor = deployment.supervisor(at);
    await using exec = new ShellExec(deployment.client(), supervisor, script);
    await exec.run.received(bytesOf(lines));
    const received = () => exec.run.output().length;
    await loseTheReport(supervisor, { marker: exec.marker, how, received });
    const result = await exec.result;
    expectExit(result, 7);
    expect(result.stdout.equals(linesAt(0, bytesOf(2 * lines)))).toBe(true);
  });

  it.concurrent("reaches a follower, with all output before it", async () => {
    const supervisor = deployment.supervisor(cuts.length + at);
    const { sandboxId } = supervisor;
    const execId = randomUUID();
    const exec = await deployment
      .belayClient()
      .start({ sandboxId }, ["sh", "-c", script], { execId });
    const arrived = Promise.withResolvers<void>();
    const follower = new CheckedFollower(exec, {
      onOutput: ({ stdout }) => (stdout === bytesOf(lines) ? arrived.resolve() : undefined),
    });
    await arrived.promise;
    const received = () => follower.bytes.stdout;
    await loseTheReport(supervisor, { marker: `BELAY_EXEC_ID=${execId}`, how, received });
    expectWhole(await follower.result, 7, { stdout: bytesOf(2 * lines) });
  });
});
