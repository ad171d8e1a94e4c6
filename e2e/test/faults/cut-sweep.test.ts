// One exec, cut again and again, each time at another byte of its conversation: what is said of it is true each time.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code } from "@connectrpc/connect";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { seededRandom } from "@belay/relay-core/testing";
import type { CutAfter } from "../../src/fault-plan.ts";
import { expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { localTotals } from "../support/local-run.ts";
import { ShellExec } from "../support/shell-exec.ts";

const cutsPerDirection = 12;
const output = "seq 1 3000";
const exitCode = 5;

let deployment: Deployment;
let client: OpenShellClient;
let truth: Awaited<ReturnType<typeof localTotals>>;
beforeAll(async () => {
  truth = await localTotals(output);
  deployment = await startDeployment({
    supervisorArgs: flags({ "exec-form": "plain", "reconnect-max-ms": 120 }),
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** What the command itself noted in the sandbox: the truth that no fault can touch. */
async function noted(file: string): Promise<string> {
  const path = join(deployment.supervisor().home, file);
  return await readFile(path, "utf8").catch(() => "");
}

function startNoting(file: string): ShellExec {
  const script = `echo started > ${file}; ${output}; echo done >> ${file}; exit ${exitCode}`;
  return new ShellExec(client, deployment.supervisor(), script);
}

function theConnection() {
  const live = deployment.supervisor().faults.connections.filter((one) => one.live);
  expect(live).toHaveLength(1);
  return live[0]!;
}

/** Bytes that one exec takes each way, when nothing is wrong. */
async function conversationBytes(): Promise<{ up: number; down: number }> {
  const connection = theConnection();
  const before = connection.bytes;
  await using exec = startNoting("rehearsal");
  expectExit(await exec.result, exitCode);
  const after = connection.bytes;
  return { up: after.up - before.up, down: after.down - before.down };
}

async function execUnder(cut: CutAfter): Promise<string> {
  const file = `side-${randomUUID()}`;
  const { process } = deployment.supervisor();
  const mark = process.mark();
  const connection = theConnection();
  connection.cutAfter({ ...cut, from: "now" });
  await using exec = startNoting(file);
  const result = await exec.result;
  connection.heal();
  if (!connection.live) await process.waitForEvent("supervisor.ready", { after: mark });
  await exec.noneLeft();

  const outcome = result.exit === undefined ? (result.outcome ?? "not said") : "exit";
  const { hung, violations, exitCode: code = result.code, totals } = result;
  const whole = totals.stdout.sha256 === truth.stdout.sha256;
  // What arrived before an error is a true beginning of the output.
  const isTrue = truthText.startsWith(result.stdout.toString());
  const expected =
    outcome === "exit" ? { code: exitCode, whole: true } : { code: Code.Unavailable };
  expect({ hung, violations, code, whole, isTrue }).toMatchObject({
    hung: false,
    violations: [],
    isTrue: true,
    ...expected,
  });
  expect(mayBeNoted[outcome], outcome).toContain(await noted(file));
  return outcome;
}

const truthText = Array.from({ length: 3_000 }, (_, at) => `${at + 1}\n`).join("");
const done = "started\ndone\n";
/** What the command's own notes may be, by what its client was told. */
const mayBeNoted: Record<string, string[]> = {
  exit: [done],
  completed: [done],
  not_started: [""],
  unknown: ["", "started\n", done],
};

describe("an exec whose connection is cut at any byte of it", () => {
  it.each(["up", "down"] as const)("ends truthfully (%s)", async (direction) => {
    const total = (await conversationBytes())[direction];
    const random = seededRandom(direction === "up" ? 11 : 12);
    const outcomes: string[] = [];
    for (let at = 0; at < cutsPerDirection; at++) {
      // One in each part, at a random place of it; the last is past the end of most conversations.
      const bytes = Math.floor(((at + random()) / (cutsPerDirection - 1)) * total);
      const how = at % 2 === 0 ? "rst" : "fin";
      outcomes.push(await execUnder({ direction, bytes, how }));
    }
    // The sweep has met both sides of the start; else it swept past what it is about.
    expect(outcomes).toContain("not_started");
    expect(outcomes).toContain("unknown");
    expectExit(await startNoting("after").result, exitCode);
  });

  it("ends truthfully without a cut", async () => {
    const outcome = await execUnder({ direction: "up", bytes: Number.MAX_SAFE_INTEGER });
    expect(outcome).toBe("exit");
  });
});
