// A way that does not come back: the gateway gives the exec up after its window, and says so truly; the supervisor
// ends it after its own, longer one.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code } from "@connectrpc/connect";
import type { BelayClient } from "@belay/client";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { findProcesses, waitForProcesses, waitUntilNoneLeft } from "../../src/processes.ts";
import { sleepMs } from "../../src/wait.ts";
import { followChecked } from "../support/checked-follower.ts";
import { expectError, slackMs } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { bytesOf, printLines } from "../support/numbered-lines.ts";
import { ShellExec } from "../support/shell-exec.ts";

const resumeWindowMs = 800;
const orphanWindowMs = 1_500;

let deployment: Deployment;
let client: BelayClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors: 4, // one for each test: they run at once
    gatewayArgs: flags({ "resume-window-ms": resumeWindowMs, "session-wait-ms": 500 }),
    supervisorArgs: flags({
      "orphan-window-ms": orphanWindowMs,
      "reconnect-max-ms": 100,
      "termination-grace-ms": 300,
    }),
  });
  client = deployment.belayClient();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const markerOf = ({ execId }: { execId: string }) => ({ env: `BELAY_EXEC_ID=${execId}` });

/** The way is away until healed. */
function takeAway(at: number): { atMs: number } {
  const { faults } = deployment.supervisor(at);
  faults.refuse();
  faults.cut("rst");
  return { atMs: performance.now() };
}

describe.concurrent("a way that does not come back within the window", () => {
  it("ends ExecSandbox with the exec's id, which tells the rest", async () => {
    const supervisor = deployment.supervisor(0);
    const script = `${printLines(100)}; echo ready >&2; sleep 300 & setsid sleep 300`;
    await using exec = new ShellExec(deployment.client(), supervisor, script);
    await exec.run.received("ready", "stderr");
    const { atMs } = takeAway(0);
    const result = await exec.result;
    expect(performance.now() - atMs).toBeGreaterThan(resumeWindowMs * 0.95);
    expect(performance.now() - atMs).toBeLessThan(resumeWindowMs + slackMs);
    expectError(result, {
      code: Code.Unavailable,
      message: /the way to the sandbox was lost, and did not come back within 800 ms/,
      kind: "resume_window_ended",
      outcome: "unknown",
      retry: "follow",
    });
    expect(result.stdout).toHaveLength(bytesOf(100));
    const { execId = "" } = result.detail ?? {};
    const handle = client.attach(supervisor.sandboxId, execId);
    expect(await findProcesses(markerOf(handle)), "not ended by the gateway").toHaveLength(3);
    supervisor.faults.heal();
    expect(await handle.get()).toMatchObject({ state: "running" });
  });

  it("ends FollowExec in the same way, and a client that waits longer goes on", async () => {
    const supervisor = deployment.supervisor(1);
    const { sandboxId } = supervisor;
    const exec = await client.start({ sandboxId }, ["sh", "-c", `${printLines(100)}; sleep 300`]);
    const calls = deployment.execClient();
    const events = calls.followExec({ sandboxId, execId: exec.execId })[Symbol.asyncIterator]();
    await events.next();
    const patient = followChecked(exec);
    await waitForProcesses(markerOf(exec), 2);
    takeAway(1);
    const failure = await (async () => {
      while (!(await events.next()).done);
    })().catch((reason: unknown) => reason);
    expect(failure).toMatchObject({ code: Code.Unavailable });
    expect(String(failure)).toContain("did not come back within 800 ms");
    supervisor.faults.heal();
    const canceled = await exec.cancel();
    expect(canceled).toMatchObject({ reason: "canceled", processesEnded: 2 });
    expect(await patient).toMatchObject({
      exit: { reason: "canceled" },
      verified: true,
      bytes: { stdout: bytesOf(100) },
    });
  });
});

describe.concurrent("an exec that nobody follows", () => {
  it("is ended with its whole tree after the orphan window, and its exit says so", async () => {
    const { sandboxId, faults } = deployment.supervisor(2);
    const script = `${printLines(100)}; sleep 300 & setsid sleep 300`;
    const exec = await client.start({ sandboxId }, ["sh", "-c", script]);
    const marker = markerOf(exec);
    await waitForProcesses(marker, 3);
    const abort = new AbortController();
    const following = followChecked(exec, { signal: abort.signal });
    await sleepMs(orphanWindowMs + 300); // longer than the window: but it is followed
    expect(await findProcesses(marker)).toHaveLength(3);
    const { atMs } = takeAway(2);
    abort.abort(new Error("gone"));
    await expect(following).rejects.toThrow("gone");
    await waitUntilNoneLeft(marker);
    expect(performance.now() - atMs).toBeGreaterThan(orphanWindowMs * 0.95);
    expect(performance.now() - atMs).toBeLessThan(orphanWindowMs + slackMs);
    faults.heal();
    const { exit, verified } = await followChecked(exec);
    expect(exit).toMatchObject({ reason: "lost", processesEnded: 3, signal: "TERM" });
    expect(verified).toBe(true);
  });

  it("is left alone when it is detached", async () => {
    const { sandboxId, faults } = deployment.supervisor(3);
    const exec = await client.start({ sandboxId }, ["sleep", "300"], { detached: true });
    takeAway(3);
    await sleepMs(orphanWindowMs * 1.5);
    faults.heal();
    expect(await exec.get()).toMatchObject({ state: "running", followers: 0 });
    expect(await exec.cancel()).toMatchObject({ reason: "canceled", processesEnded: 1 });
  });
});
