// A start runs once, whatever becomes of its answer; a cancel ends everything, or keeps it from beginning.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code, ConnectError } from "@connectrpc/connect";
import type { BelayClient } from "@belay/client";
import { ErrorDetailSchema } from "@belay/protocol";
import type { ExecServiceClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { findProcesses, waitForProcesses } from "../../src/processes.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";

let deployment: Deployment;
let client: BelayClient;
let calls: ExecServiceClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisorArgs: flags({ "reconnect-max-ms": 100, "termination-grace-ms": 500 }),
  });
  client = deployment.belayClient({ limits: { backoff: { minMs: 20, maxMs: 100 } } });
  calls = deployment.execClient();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const sandbox = () => ({ sandboxId: deployment.supervisor().sandboxId });
const noted = (file: string) => readFile(join(deployment.supervisor().home, file), "utf8");

/** What a call without retries is told. */
async function refused(call: Promise<unknown>) {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  const { kind, outcome } = error?.findDetails(ErrorDetailSchema)[0] ?? {};
  return { code: error && Code[error.code], kind, outcome };
}

describe("a start", () => {
  it("whose answer is lost on the way to its client runs once", async () => {
    const [execId, file] = [randomUUID(), randomUUID()];
    const script = `echo ran >> ${file}`;
    await client.sandboxes(); // there is a connection
    const ways = deployment.clientProxy.connections;
    for (const way of ways) way.blackhole("down");
    const started = client.start(sandbox(), ["sh", "-c", script], { execId });
    await deployment.supervisor().process.waitForEvent("exec.started", {
      where: (fields) => fields["execId"] === execId,
    });
    for (const way of ways) way.cut("rst");
    const exec = await started;
    expect((await exec.wait()).exitCode).toBe(0);
    expect(await noted(file)).toBe("ran\n");
    // And once more, long after.
    const again = await client.start(sandbox(), ["sh", "-c", script], { execId });
    expect((await again.get()).exit).toMatchObject({ reason: "exited" });
    expect(await noted(file)).toBe("ran\n");
  });

  it("whose answer is lost on the way to its gateway runs once", async () => {
    const supervisor = deployment.supervisor();
    await client.list(sandbox()); // there is an SSH connection
    const mark = supervisor.process.mark();
    const file = randomUUID();
    supervisor.faults.blackhole("up");
    const started = client.start(sandbox(), ["sh", "-c", `echo ran >> ${file}`]);
    await supervisor.process.waitForEvent("exec.started", { after: mark });
    await untilReconnected(supervisor, () => {
      supervisor.faults.cut("rst");
      supervisor.faults.heal();
    });
    expect((await (await started).wait()).exitCode).toBe(0);
    expect(await noted(file)).toBe("ran\n");
  });

  it("of something else under the same id is refused", async () => {
    const name = { ...sandbox(), execId: randomUUID() };
    await calls.startExec({ ...name, spec: { command: ["true"] } });
    expect(await refused(calls.startExec({ ...name, spec: { command: ["false"] } }))).toEqual({
      code: "AlreadyExists",
      kind: "exec_conflict",
      outcome: "not_started",
    });
  });

  it("that its cancel has overtaken runs nothing", async () => {
    const name = { ...sandbox(), execId: randomUUID() };
    expect((await calls.cancelExec(name)).exec).toBeUndefined();
    const spec = { command: ["sh", "-c", "echo ran > fenced"] };
    expect(await refused(calls.startExec({ ...name, spec }))).toEqual({
      code: "Aborted",
      kind: "exec_fenced",
      outcome: "not_started",
    });
    await expect(noted("fenced")).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("a cancel", () => {
  /** One in the group, one in a session of its own, one whose parent is gone, and one that ignores TERM. */
  const tree = [
    "sleep 300 & setsid sleep 300 &",
    "(setsid sh -c 'sleep 300 & exit' &)",
    "setsid sh -c 'trap \"\" TERM; while :; do sleep 300; done' &",
    "echo ready; wait",
  ].join("\n");

  it("answers when every process is gone, with their number", async () => {
    const exec = await client.start(sandbox(), ["sh", "-c", tree]);
    const marker = { env: `BELAY_EXEC_ID=${exec.execId}` };
    await waitForProcesses(marker, 6);
    const exit = await exec.cancel();
    expect(await findProcesses(marker)).toEqual([]);
    expect(exit).toMatchObject({ reason: "canceled", signal: "TERM" });
    // The loop may start a sleep in place of the one that TERM has ended.
    expect([6, 7]).toContain(exit?.processesEnded);
    expect((await calls.getExec({ ...sandbox(), execId: exec.execId })).exec?.exit).toMatchObject({
      reason: "canceled",
      processesEnded: exit?.processesEnded,
    });
  });

  it("is told the end of an exec that came to it by itself", async () => {
    const exec = await client.start(sandbox(), ["sh", "-c", "exit 9"]);
    await exec.wait();
    expect(await exec.cancel()).toMatchObject({ reason: "exited", exitCode: 9, processesEnded: 0 });
  });

  it("is answered over the next way, when its own is lost", async () => {
    const supervisor = deployment.supervisor();
    const exec = await client.start(sandbox(), [
      "sh",
      "-c",
      "trap '' TERM; setsid sleep 300 & wait",
    ]);
    const marker = { env: `BELAY_EXEC_ID=${exec.execId}` };
    await waitForProcesses(marker, 2);
    const mark = supervisor.process.mark();
    const canceled = exec.cancel();
    await supervisor.process.waitForEvent("exec.terminating", { after: mark });
    await untilReconnected(supervisor, () => supervisor.faults.cut("rst"));
    expect(await canceled).toMatchObject({ reason: "canceled", processesEnded: 2 });
    expect(await findProcesses(marker)).toEqual([]);
  });
});
