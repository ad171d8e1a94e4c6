// The gateway is killed, and comes back, under durable execs: it owned none of them.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code, ConnectError } from "@connectrpc/connect";
import type { BelayClient } from "@belay/client";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { waitForProcesses, waitUntilNoneLeft } from "../../src/processes.ts";
import { poll, within } from "../../src/wait.ts";
import { CheckedFollower, expectWhole, followChecked } from "../support/checked-follower.ts";
import { flags } from "../support/flags.ts";
import { bytesOf, printLines, printSlowly } from "../support/numbered-lines.ts";

const supervisors = 2;

let deployment: Deployment;
let client: BelayClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors,
    supervisorArgs: flags({ "reconnect-max-ms": 200, "orphan-window-ms": 20_000 }),
  });
  client = deployment.belayClient({ limits: { backoff: { minMs: 50, maxMs: 500 } } });
});
afterAll(() => deployment[Symbol.asyncDispose]());

const sandbox = (at = 0) => ({ sandboxId: deployment.supervisor(at).sandboxId });
const markerOf = ({ execId }: { execId: string }) => ({ env: `BELAY_EXEC_ID=${execId}` });

async function startScript(script: string, options: Parameters<BelayClient["start"]>[2] = {}) {
  return await client.start(sandbox(), ["sh", "-c", script], options);
}

describe("a gateway that is killed under durable execs", () => {
  it("is a pause to their followers, who get every byte and the true exits", async () => {
    const execs = 12;
    const followers = await Promise.all(
      Array.from({ length: execs }, async (_, at) => {
        const slowly = printSlowly(15, 800, { pause: 0.2 });
        const script = `${slowly}; ${printLines(3_000)} >&2; exit ${at}`;
        const exec = await client.start(sandbox(at % supervisors), ["sh", "-c", script]);
        return new CheckedFollower(exec);
      }),
    );
    await Promise.all(followers.map(({ first }) => first));
    await deployment.restartGateway("SIGKILL");
    const results = await within(
      "all results",
      25_000,
      Promise.all(followers.map(({ result }) => result)),
    );
    for (const [at, result] of results.entries())
      expectWhole(result, at, { stdout: bytesOf(12_000), stderr: bytesOf(3_000) });
  });

  it("has the client of ExecSandbox told that its command may run on, and by which id", async () => {
    using openshell = deployment.client();
    const call = openshell.execSandbox({
      ...sandbox(),
      command: ["sh", "-c", `${printLines(10)}; until [ -e go ]; do sleep 0.05; done; exit 4`],
    });
    const events = call[Symbol.asyncIterator]();
    await events.next();
    await deployment.restartGateway("SIGKILL");
    const error = await (async () => {
      while (!(await events.next()).done);
    })().catch((reason: unknown) => ConnectError.from(reason));
    expect(error).toBeInstanceOf(ConnectError);
    // The killed gateway could say nothing; the sandbox knows the exec, which nobody has canceled.
    const [newest] = await client.list(sandbox());
    const exec = client.attach(newest!.sandboxId, newest!.execId);
    await writeFile(join(deployment.supervisor().home, "go"), "");
    expectWhole(await followChecked(exec), 4, { stdout: bytesOf(10) });
  });

  it("keeps no timeout waiting: the supervisor has it", async () => {
    const exec = await startScript("setsid sleep 300 & sleep 300", { timeoutMs: 2_000 });
    await waitForProcesses(markerOf(exec), 3);
    await deployment.stopGateway("SIGKILL");
    await waitUntilNoneLeft(markerOf(exec));
    await deployment.startGateway();
    expect(await exec.get()).toMatchObject({
      state: "ended",
      exit: { reason: "timed_out", exitCode: 124, processesEnded: 3 },
    });
  });

  it("does not end a detached exec, which outlives all clients too", async () => {
    const script = `${printSlowly(10, 300)}; exit 6`;
    const name = { execId: "outlives-all" };
    {
      using gone = deployment.belayClient();
      const started = await gone.start(sandbox(), ["sh", "-c", script], {
        ...name,
        detached: true,
      });
      const follower = new CheckedFollower(started, { signal: AbortSignal.timeout(20_000) });
      await follower.first;
      follower.result.catch(() => {}); // its client ends with it
    }
    const { supervisors: deployed } = deployment;
    const marks = deployed.map(({ process }) => process.mark());
    await deployment.stopGateway("SIGKILL");
    await waitUntilNoneLeft(markerOf(name));
    await deployment.startGateway();
    await Promise.all(
      deployed.map(({ process }, at) =>
        process.waitForEvent("supervisor.ready", { after: marks[at]! }),
      ),
    );
    using another = deployment.belayClient();
    const exec = another.attach(sandbox().sandboxId, name.execId);
    expectWhole(await followChecked(exec), 6, { stdout: bytesOf(3_000) });
    // A start that is repeated by a program that was restarted finds it, too.
    const again = await another.start(sandbox(), ["sh", "-c", script], { ...name, detached: true });
    expect((await again.get()).exit).toMatchObject({ reason: "exited", exitCode: 6 });
  });

  it("tells who asks meanwhile that nothing ran, and goes on where it was", async () => {
    await deployment.stopGateway("SIGKILL");
    using impatient = deployment.belayClient({ limits: { startWindowMs: 200 } });
    await expect(impatient.start(sandbox(), ["true"])).rejects.toMatchObject({
      kind: "session_lost",
      outcome: "not_started",
    });
    const patient = client.exec(sandbox(), ["sh", "-c", "exit 3"]);
    await deployment.startGateway();
    expect((await patient).exit.exitCode).toBe(3);
    using calls = deployment.execClient();
    const unknown = { ...sandbox(), execId: "never-was" };
    const asked = await poll("a session", async () => {
      const error = await calls.getExec(unknown).catch((reason: unknown) => reason);
      return error instanceof ConnectError && error.code !== Code.Unavailable && error;
    });
    expect(asked.code).toBe(Code.NotFound);
  });
});
