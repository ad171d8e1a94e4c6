// The work itself, run by nobody but the kernel: what it writes down is what it does.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judge } from "../oracles/judge.ts";
import { StreamCheck } from "../oracles/stream-check.ts";
import { commandOf, inputOf, patternStreamOf } from "../work/command.ts";
import { everyWork, planExec } from "../work/plan.ts";
import type { Work, WorkKind } from "../work/plan.ts";
import { readSideFiles } from "../work/side-files.ts";
import { evidence, exec as example } from "./support/evidence.ts";

const kinds = Object.keys(everyWork) as WorkKind[];
const limits = { maxOutputBytes: 200_000, maxStdinBytes: 100_000, maxSeconds: 0.6 };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "belay-chaos-test-"));
});
afterAll(async () => await rm(folder, { recursive: true, force: true }));

/** Runs it as a caller of `spawn` would see it. */
async function run(work: Work, side: string, signal?: NodeJS.Signals) {
  const [program = "", ...args] = commandOf(work, side);
  const child = spawn(program, args, { detached: true });
  const checks = {
    stdout: new StreamCheck(work.seed, patternStreamOf(work, "stdout")),
    stderr: new StreamCheck(work.seed, patternStreamOf(work, "stderr")),
  };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (bytes: Buffer) => checks[name].push(bytes));
  child.stdin.on("error", () => {});
  child.stdin.end(inputOf(work));
  if (signal !== undefined)
    child.stdout.once("data", () => process.kill(-(child.pid ?? Number.NaN), signal));
  const closed = once(child, "close");
  const [code, name] = (await once(child, "exit")) as [number | null, string | null];
  const recorded = await readSideFiles(side);
  // What is left of it may hold its output open: without that, the output ends, and all of it has been read.
  // Not only what it records: a child that is being forked as a signal comes to its group does not get it.
  for (const pid of [...recorded.leftBehind, -(child.pid ?? Number.NaN)]) endIfThere(pid);
  await closed;
  const streams = Object.fromEntries(
    (["stdout", "stderr"] as const).map((each) => {
      const { receivedBytes } = checks[each];
      return [each, { receivedBytes, differences: checks[each].finish() }];
    }),
  ) as ReturnType<typeof evidence>["view"]["streams"];
  return { code, name: name?.replace("SIG", "") ?? "", streams, recorded };
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended since.
  }
}

describe("work", () => {
  it.each(kinds)("%s is as planned, and writes down what it does", async (kind) => {
    const runOne = async (n: number) => {
      const { work, plannedMs } = planExec(11, n, 0, { [kind]: 1 }, limits);
      const side = await mkdtemp(join(folder, `${kind}-`));
      const { code, name, streams, recorded } = await run(work, side);
      const good = evidence({ exec: { ...example, work, plannedMs }, recorded });
      const exit =
        name === "" ? { exitCode: code ?? -1, signal: "" } : { exitCode: 0, signal: name };
      const view = { ...good.view, streams };
      expect(recorded.starts).toHaveLength(1);
      expect(recorded.end).toMatchObject(
        name === "" ? { is: "exit", exitCode: exit.exitCode } : { is: "signal", signal: name },
      );
      const found = judge({ ...good, view }).filter(({ oracle }) => oracle !== "lied");
      expect(found).toEqual([]);
    };
    await Promise.all([0, 1, 2].map(runOne));
  });

  it("writes down that TERM reached it, and the code it then ended with", async () => {
    const planned = planExec(11, 0, 0, { polite: 1 }, limits);
    const work = { ...planned.work, stdoutBytes: 5, seconds: 20 };
    const { code, streams, recorded } = await run(
      work,
      await mkdtemp(join(folder, "term-")),
      "SIGTERM",
    );
    expect(code).toBe(7);
    expect(recorded).toMatchObject({ heardTerm: true, end: { is: "exit", exitCode: 7 } });
    expect(streams.stderr.receivedBytes).toBe(work.stderrBytes);
  });

  it("records a second start as a second start", async () => {
    const { work } = planExec(11, 0, 0, { short: 1 }, limits);
    const side = await mkdtemp(join(folder, "twice-"));
    await run(work, side);
    expect((await run(work, side)).recorded.starts).toHaveLength(2);
  });
});
