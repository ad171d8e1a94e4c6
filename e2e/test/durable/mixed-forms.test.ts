// A supervisor that knows nothing of durable execs, beside one that does, on one gateway.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@belay/protocol";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { expectLost, untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisors: 0,
    supervisorArgs: flags({ "reconnect-max-ms": 100, "orphan-window-ms": 1_000 }),
  });
  await deployment.addSupervisor({ name: "durable" });
  await deployment.addSupervisor({ name: "plain", args: flags({ "exec-form": "plain" }) });
});
afterAll(() => deployment[Symbol.asyncDispose]());

function sandbox(name: "durable" | "plain") {
  return deployment.supervisors.find((one) => one.name === name)!;
}

describe("a plain supervisor beside a durable one", () => {
  it.each(["durable", "plain"] as const)("runs commands of ExecSandbox (%s)", async (name) => {
    const script = "cat; echo err >&2; exit 3";
    const stdin = Buffer.from("input");
    const result = await shell(deployment.client(), sandbox(name), script, { request: { stdin } });
    expectExit(result, 3, "input");
    expect(result.stderr.toString()).toBe("err\n");
  });

  it("has its exec lost with its connection, while the other's goes on", async () => {
    const client = deployment.client();
    const script = "echo ready; until [ -e go ]; do sleep 0.05; done; echo over; exit 6";
    await using durable = new ShellExec(client, sandbox("durable"), script);
    await using plain = new ShellExec(client, sandbox("plain"), script);
    await Promise.all([durable.ready(), plain.ready()]);
    await Promise.all(
      deployment.supervisors.map((one) => untilReconnected(one, () => one.faults.cut("rst"))),
    );
    await writeFile(join(sandbox("durable").home, "go"), "");
    expectLost(await plain.result);
    expectExit(await durable.result, 6, "ready\nover\n");
  });

  it("has no ExecService, and says so of every call; nothing runs", async () => {
    const calls = deployment.execClient();
    const name = { sandboxId: sandbox("plain").sandboxId, execId: "exec-1" };
    const spec = { command: ["true"] };
    const follow = async () => {
      for await (const _ of calls.followExec(name));
    };
    const answers = {
      start: calls.startExec({ ...name, spec }),
      follow: follow(),
      stdin: calls.writeStdin({ ...name, data: Buffer.from("x") }),
      signal: calls.signalExec({ ...name, signal: "TERM" }),
      resize: calls.resizeExec({ ...name, cols: 80, rows: 24 }),
      get: calls.getExec(name),
      wait: calls.waitExec(name),
      list: calls.listExecs(name),
      cancel: calls.cancelExec(name),
    };
    for (const [method, answer] of Object.entries(answers)) {
      const error = ConnectError.from(await answer.catch((reason: unknown) => reason));
      const { kind, retry } = error.findDetails(ErrorDetailSchema)[0] ?? {};
      expect({ method, code: Code[error.code], kind, retry }).toEqual({
        method,
        code: "Unimplemented",
        kind: "unimplemented",
        retry: "never",
      });
    }
    const { sandboxId } = sandbox("durable");
    expect((await calls.startExec({ ...name, sandboxId, spec })).exec?.execId).toBe("exec-1");
  });
});
