// A command whose relay broke: it may run on for its orphan window, and not a moment longer than its sandbox allows.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll, sleepMs } from "../../src/wait.ts";
import { atOnceMs, slackMs } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { ShellExec } from "../support/shell-exec.ts";

const windowMs = 1_200;
const graceMs = 500;

let deployment: Deployment;
const supervisors = new Map<string, DeployedSupervisor>();
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors: 0,
    supervisorArgs: flags({
      "exec-form": "plain",
      "reconnect-max-ms": 200,
      "termination-grace-ms": graceMs,
    }),
  });
  const windows = { short: windowMs, none: 0, keep: "keep" };
  await Promise.all(
    Object.entries(windows).map(async ([name, value]) => {
      const args = flags({ "orphan-window-ms": value });
      supervisors.set(name, await deployment.addSupervisor({ name, args }));
    }),
  );
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** Runs the script in a sandbox and cuts its relay once it runs; its client has heard of that. */
async function orphan(
  sandbox: "short" | "none" | "keep",
  script: string,
): Promise<{ exec: ShellExec; supervisor: DeployedSupervisor; cutAtMs: number }> {
  const supervisor = supervisors.get(sandbox)!;
  const exec = new ShellExec(deployment.client(), supervisor, `echo ready; ${script}`, {
    keep: false,
  });
  await exec.run.received(1);
  const cutAtMs = performance.now();
  await untilReconnected(supervisor, async () => {
    supervisor.faults.cut("rst");
    expectLost(await exec.result);
  });
  return { exec, supervisor, cutAtMs };
}

async function expectNoted(supervisor: DeployedSupervisor, file: string): Promise<void> {
  const read = () => readFile(join(supervisor.home, file), "utf8").catch(() => "");
  await poll(`done in ${file}`, async () => (await read()) === "done\n");
}

describe("within an orphan window", () => {
  it("the command runs on, and is ended with the window", async () => {
    const { exec, cutAtMs } = await orphan("short", "sleep 300 & sleep 300");
    await using _ = exec;
    expect(await exec.processes(), "still there").toHaveLength(3);
    await exec.noneLeft();
    expect(performance.now() - cutAtMs).toBeGreaterThan(windowMs * 0.95);
    expect(performance.now() - cutAtMs).toBeLessThan(windowMs + slackMs);
  });

  it("a command that ignores TERM is killed after the grace", async () => {
    const { exec, cutAtMs } = await orphan("short", "trap '' TERM; setsid sleep 300 & sleep 300");
    await using _ = exec;
    await exec.noneLeft();
    expect(performance.now() - cutAtMs).toBeGreaterThan((windowMs + graceMs) * 0.95);
    expect(performance.now() - cutAtMs).toBeLessThan(windowMs + graceMs + slackMs);
  });

  it("a command that comes to its end is left to it", async () => {
    const { exec, supervisor } = await orphan("short", "sleep 0.4; echo done > by-itself");
    await using _ = exec;
    await exec.noneLeft();
    await expectNoted(supervisor, "by-itself");
  });

  it("a chatty command does not block on output that nobody reads", async () => {
    const script = "seq 1 500000; seq 1 500000 >&2; echo done > chatty; sleep 300";
    const { exec, supervisor } = await orphan("keep", script);
    await using _ = exec;
    await expectNoted(supervisor, "chatty");
  });

  it("a command that was blocked on a slow client is not blocked any more", async () => {
    const supervisor = supervisors.get("keep")!;
    const gate = Promise.withResolvers<void>();
    const script = "echo ready; seq 1 2000000; echo done > unblocked; sleep 300";
    await using exec = new ShellExec(deployment.client(), supervisor, script, {
      keep: false,
      readDelay: (messages) => (messages === 2 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    await untilReconnected(supervisor, () => supervisor.faults.cut("rst"));
    gate.resolve();
    expectLost(await exec.result);
    await expectNoted(supervisor, "unblocked");
  });
});

describe("without an orphan window", () => {
  it("the command is ended at once", async () => {
    const { exec, cutAtMs } = await orphan("none", "sleep 300 & sleep 300");
    await using _ = exec;
    await exec.noneLeft();
    expect(performance.now() - cutAtMs).toBeLessThan(atOnceMs);
  });
});

describe("with an orphan window that never ends", () => {
  it("the command stays", async () => {
    const { exec } = await orphan("keep", "sleep 300 & sleep 300");
    await using _ = exec;
    await sleepMs(2 * windowMs);
    expect(await exec.processes()).toHaveLength(3);
  });
});
