// A command on a terminal: its size, its name, its one output, its end.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";
import type { RequestExtras } from "../support/shell-exec.ts";

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const onTerminal = (script: string, request: RequestExtras = {}) =>
  shell(client, deployment.supervisor(), script, { request: { tty: true, ...request } });

describe("a terminal", () => {
  it.each([
    ["80 by 24 when no size is given", {}, "24 80"],
    ["as large as was asked for", { cols: 132, rows: 43 }, "43 132"],
    ["as wide as was asked for, with the usual height", { cols: 200 }, "24 200"],
  ])("is %s", async (_name, size, expected) => {
    expectExit(await onTerminal("stty size", size), 0, `${expected}\r\n`);
  });

  it("is all three standard streams, and the command's own", async () => {
    const script = 'test -t 0 && test -t 1 && test -t 2 && tty && ps -o tty= -p $$; echo "$TERM"';
    const result = await onTerminal(script);
    const [name = "", own, term] = result.stdout.toString().split("\r\n");
    expect(name).toBe(`/dev/${own}`);
    expect(term).toBe("xterm-256color");
  });

  it("has one output for both streams", async () => {
    const result = await onTerminal("echo out; echo err >&2");
    expectExit(result, 0, "out\r\nerr\r\n");
    expect(result.totals.stderr.bytes).toBe(0);
  });

  it("gives a command the end of its input", async () => {
    const result = await onTerminal("stty -echo; cat; echo over", {
      stdin: Buffer.from("first\nunfinished"),
    });
    expect(result.exitCode).toBe(0);
    expect(result.stdout.toString().replaceAll(/first\r\nunfinished(?=first)/g, "")).toMatch(
      /first\r\nunfinishedover\r\n$/,
    );
  });

  it.each([0, 3, 127])("tells exit code %i, after all output", async (exitCode) => {
    expectExit(await onTerminal(`echo out; exit ${exitCode}`), exitCode, "out\r\n");
  });

  it("tells the signal that ended the command", async () => {
    const result = await onTerminal("kill -KILL $$");
    expectExit(result, 137);
    expect(result.exit).toMatchObject({ reason: "signaled", signal: "KILL" });
  });

  it("keeps the tail of a large output for a slow reader", async () => {
    const result = await shell(client, deployment.supervisor(), "seq 1 200000; echo the end", {
      request: { tty: true },
      readDelay: (messages) => sleepMs(messages % 4),
    });
    expectExit(result, 0);
    const lines = result.stdout.toString().split("\r\n");
    expect(lines.length).toBe(200_002);
    expect(lines.at(-3)).toBe("200000");
    expect(lines.at(-2)).toBe("the end");
  });

  it("ends with the exec: a cancel leaves nothing of an interactive shell's jobs", async () => {
    const script = "set -m; sleep 300 & sleep 301 & echo ready; wait";
    await using exec = new ShellExec(client, deployment.supervisor(), script, {
      request: { tty: true },
    });
    await exec.run.received("ready");
    await exec.hasProcesses(3);
    exec.run.cancel();
    await exec.noneLeft();
    expect(await exec.processes()).toEqual([]);
  });
});
