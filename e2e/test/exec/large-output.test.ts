// More output than fits anywhere: all of it arrives, in order, in bounded memory, however slowly it is read.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import type { DeployedSupervisor } from "../../src/deployed-supervisor.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll, sleepMs } from "../../src/wait.ts";
import { flags } from "../support/flags.ts";
import { expectExit } from "../support/expect-exec.ts";
import { localTotals } from "../support/local-run.ts";
import { growthWhile } from "../support/peak-memory.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const mebibyte = 1024 * 1024;
/** Each line is another one, so that a hash tells every loss, repetition and exchange. */
const twoHundredMegabytes = "seq 1 24000000";
/** What a program may grow by while they pass: a heap that is not collected yet, but not the output. */
const growthLimitBytes = 110 * mebibyte;
/** 12 MB on each stream, in pieces that alternate. */
const interleaved =
  "i=100; while [ $i -lt 300 ]; do seq ${i}0000 ${i}7500; seq ${i}1000 ${i}8500 >&2; i=$((i+1)); done";

let deployment: Deployment;
let client: OpenShellClient;
let expectedInterleaved: Awaited<ReturnType<typeof localTotals>>;
beforeAll(async () => {
  expectedInterleaved = await localTotals(interleaved);
  deployment = await startDeployment({ proxied: false });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

describe("two hundred megabytes", () => {
  it("pass a slow reader whole, in bounded memory of gateway and supervisor", async () => {
    const expected = await localTotals(twoHundredMegabytes);
    expect(expected.stdout.bytes).toBeGreaterThan(200_000_000);
    const programs = [deployment.gateway, deployment.supervisor().process];
    // Slower than the source by far, in fits and starts.
    const readDelay = async (messages: number): Promise<void> => {
      if (messages % 4 === 0) await sleepMs(2);
      if (messages % 500 === 0) await sleepMs(150);
    };
    const { result, growthBytes } = await growthWhile(programs, () =>
      shell(client, deployment.supervisor(), `${twoHundredMegabytes}; exit 7`, {
        keep: false,
        readDelay,
        limitMs: 60_000,
      }),
    );
    expectExit(result, 7);
    expect(result.totals).toEqual(expected);
    expect(result.exit?.outputIncomplete).toBe(false);
    expect(growthBytes[0], "gateway").toBeLessThan(growthLimitBytes);
    expect(growthBytes[1], "supervisor").toBeLessThan(growthLimitBytes);
  }, 90_000);

  it("fill nothing when nobody reads: the command waits, with both programs small", async () => {
    const gate = Promise.withResolvers<void>();
    const programs = [deployment.gateway, deployment.supervisor().process];
    await using exec = new ShellExec(client, deployment.supervisor(), twoHundredMegabytes, {
      keep: false,
      readDelay: (messages) => (messages === 3 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    const { growthBytes } = await growthWhile(programs, () => sleepMs(1_000));
    expect(growthBytes[0], "gateway").toBeLessThan(32 * mebibyte);
    expect(growthBytes[1], "supervisor").toBeLessThan(32 * mebibyte);
    expect(await exec.processes()).not.toEqual([]);
    expectExit(await shell(client, deployment.supervisor(), "echo beside it"), 0, "beside it\n");
    exec.run.cancel();
    gate.resolve();
    await exec.noneLeft();
  });
});

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  it("interleaved output beyond 10 MB on each stream arrives whole", async () => {
    expect(expectedInterleaved.stdout.bytes).toBeGreaterThan(10_000_000);
    expect(expectedInterleaved.stderr.bytes).toBeGreaterThan(10_000_000);
    using own = openshellClient(deployment.gatewayUrl, variant);
    const result = await shell(own, deployment.supervisor(), `${interleaved}; exit 2`, {
      keep: false,
      readDelay: (messages) => (messages % 32 === 0 ? sleepMs(1) : Promise.resolve()),
    });
    expectExit(result, 2);
    expect(result.totals).toEqual(expectedInterleaved);
  });
});

describe.concurrent("the tail of an output", () => {
  it("is whole for a reader that stops for longer than any wait after an exit", async () => {
    const gate = Promise.withResolvers<void>();
    const script = "seq 1 800000; echo written >&2";
    const expected = await localTotals("seq 1 800000");
    await using exec = new ShellExec(client, deployment.supervisor(), script, {
      keep: false,
      readDelay: (messages) => (messages === 2 ? gate.promise : Promise.resolve()),
    });
    await exec.run.received(1);
    await sleepMs(3_000); // longer than the drain after an exit (2 s) and the post-exit wait (0.5 s)
    gate.resolve();
    const result = await exec.result;
    expectExit(result, 0);
    expect(result.totals.stdout).toEqual(expected.stdout);
    expect(result.exit?.outputIncomplete).toBe(false);
  });

  it("is whole when the command has exited and its last bytes wait behind a full path", async () => {
    const plain = await deployment.addSupervisor({
      name: `plain-${randomUUID()}`, // another one when it is tried again
      args: flags({ "exec-form": "plain" }),
    });
    const capacity = await pathCapacityBytes(plain);
    // These fit, the last of them into the pipe alone: the command is gone before anything is read.
    await Promise.all([48, 32, 16].map((less) => expectWholeTail(capacity - less * 1024, plain)));
  });

  it("is whole when the command has exited and its last bytes wait in the log", async () => {
    await Promise.all([4, 5, 6].map((mib) => expectWholeTail(mib * 1024 * 1024)));
  });
});

/** Of a command that has exited long before its reader goes on. */
async function expectWholeTail(bytes: number, supervisor = deployment.supervisor()): Promise<void> {
  const script = `seq 1 9000000 | head -c ${bytes}`;
  const expected = await localTotals(script);
  const gate = Promise.withResolvers<void>();
  await using exec = new ShellExec(client, supervisor, `${script}; exit 4`, {
    keep: false,
    readDelay: (messages) => (messages === 1 ? gate.promise : Promise.resolve()),
  });
  await exec.run.received(1);
  await exec.noneLeft();
  await sleepMs(2_300); // longer than the drain after an exit
  gate.resolve();
  const result = await exec.result;
  expectExit(result, 4);
  expect(result.totals.stdout).toEqual(expected.stdout);
}

/** How many bytes a command can write before it waits, when its client takes one message only. */
async function pathCapacityBytes(supervisor: DeployedSupervisor): Promise<number> {
  const gate = Promise.withResolvers<void>();
  const script = "i=0; while head -c 4096 /dev/zero; do i=$((i+1)); echo $i > progress; done";
  await using exec = new ShellExec(client, supervisor, script, {
    keep: false,
    readDelay: (messages) => (messages === 1 ? gate.promise : Promise.resolve()),
  });
  await exec.run.received(1);
  const file = join(supervisor.home, "progress");
  const written = async () => Number(await readFile(file, "utf8")) * 4_096;
  const waits = async (): Promise<number | false> => {
    const before = await written();
    await sleepMs(500);
    return before === (await written()) && before;
  };
  const capacity = await poll("the command to wait", waits);
  exec.run.cancel();
  gate.resolve();
  return capacity;
}
