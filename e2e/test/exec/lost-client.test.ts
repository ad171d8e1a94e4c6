// A client that cancels, runs out of time or vanishes takes its command along: all of it, wherever the command has put its processes.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { ClientOptions } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { startFaultProxy } from "../../src/fault-proxy.ts";
import { poll } from "../../src/wait.ts";
import { slackMs } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { runningExecs } from "../support/metrics.ts";
import { ShellExec } from "../support/shell-exec.ts";

const graceMs = 400;
let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    proxied: false,
    gatewayArgs: flags({ "termination-grace-ms": graceMs }),
    supervisorArgs: flags({ "termination-grace-ms": graceMs }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** How many processes of it live, once it is ready. */
const commands = [
  { name: "that sleeps", script: "echo ready; exec sleep 300", processes: 1, withinMs: 0 },
  {
    name: "with children of its own",
    script: "sleep 300 | sleep 300 & sleep 300 & echo ready; wait",
    processes: 4,
    withinMs: 0,
  },
  {
    name: "that ignores TERM, as its children do",
    script: "trap '' TERM; sleep 300 & echo ready; sleep 300",
    processes: 3,
    withinMs: graceMs,
  },
  {
    name: "that has called setsid",
    script: "setsid sleep 300 & setsid sh -c 'sleep 300 & sleep 300' & echo ready; wait",
    processes: 5,
    withinMs: 0,
  },
  {
    name: "that has double-forked, closed its streams and ignores TERM there",
    script:
      "(trap '' TERM; setsid sh -c 'sleep 300 & sleep 300' </dev/null >/dev/null 2>&1 &); echo ready; sleep 300",
    processes: 5,
    withinMs: graceMs,
  },
  {
    name: "that writes and writes",
    script: "echo ready; yes | cat",
    processes: 2,
    withinMs: 0,
  },
] as const;

const ends = ["cancel", "deadline", "rst", "fin"] as const;
const deadlineMs = 1_500;

/** Runs the script, with a path to the gateway of its own, until it has so many processes; then takes its client away. */
async function loseClient(
  how: (typeof ends)[number],
  { script, processes }: { script: string; processes: number },
  variant: ClientOptions = {},
): Promise<{ code: Code | undefined; tookMs: number }> {
  const targetPort = Number(new URL(deployment.gatewayUrl).port);
  await using path = await startFaultProxy({ targetPort });
  using client = openshellClient(path.url, variant);
  await using exec = new ShellExec(client, deployment.supervisor(), script, {
    keep: false,
    ...(how === "deadline" && { timeoutMs: deadlineMs }),
  });
  // A deadline does not wait until we have looked; on a busy machine not even until the command runs.
  if (how !== "deadline") {
    await exec.run.received(1);
    await exec.hasProcesses(processes);
  }
  if (how === "cancel") exec.run.cancel();
  else if (how !== "deadline") path.cut(how);
  const { code, exit } = await exec.result;
  const goneAtMs = performance.now();
  expect(exit).toBeUndefined();
  await exec.noneLeft();
  return { code, tookMs: performance.now() - goneAtMs };
}

describe.concurrent.each(commands)("a command $name", (command) => {
  it.each(ends)("is gone after a %s, with all that it started", async (how) => {
    const { tookMs } = await loseClient(how, command);
    expect(tookMs).toBeLessThan(command.withinMs + slackMs);
  });
});

describe.concurrent.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  it.each(ends)("a %s ends the command", async (how) => {
    const { code } = await loseClient(how, commands[0], variant);
    // What a client makes of its own lost connection is its business.
    const expected = {
      cancel: Code.Canceled,
      deadline: Code.DeadlineExceeded,
      rst: code,
      fin: code,
    };
    expect(code).toBe(expected[how]);
  });
});

describe("a cancel", () => {
  it("lets a command end in its own way, within the grace", async () => {
    const script = `trap 'echo cleaned > cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done`;
    await using exec = new ShellExec(deployment.client(), deployment.supervisor(), script);
    await exec.ready();
    exec.run.cancel();
    await exec.noneLeft();
    await using look = new ShellExec(deployment.client(), deployment.supervisor(), "cat cleaned");
    expect((await look.result).stdout.toString()).toBe("cleaned\n");
  });

  it("touches no other exec of the sandbox", async () => {
    const client = deployment.client();
    await using other = new ShellExec(
      client,
      deployment.supervisor(),
      "echo ready; sleep 1; exit 5",
    );
    await using exec = new ShellExec(client, deployment.supervisor(), "echo ready; sleep 300");
    await Promise.all([other.ready(), exec.ready()]);
    exec.run.cancel();
    await exec.noneLeft();
    expect((await other.result).exitCode).toBe(5);
  });

  it("that comes at any moment of the start leaves nothing, a hundred times", async () => {
    const client = deployment.client();
    const startedAndCanceled = async (afterMs: number): Promise<void> => {
      await using exec = new ShellExec(client, deployment.supervisor(), "exec sleep 300", {
        signal: AbortSignal.timeout(afterMs),
      });
      await exec.result;
      await exec.noneLeft();
    };
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 10 }, (_, at) => startedAndCanceled(at * 5)));
    await poll(
      "the gateway to let all go, of the tests above too",
      async () => (await runningExecs(deployment)) === 0,
    );
    expect(await runningExecs(deployment)).toBe(0);
  });

  it("was confirmed each time, in all of the above: the gateway gave up on none", () => {
    const failed = deployment.gateway.events("exec.failed");
    const unconfirmed = failed.filter(({ fields }) => fields["kind"] === "termination_unconfirmed");
    expect(unconfirmed.map(({ text }) => text)).toEqual([]);
  });
});
