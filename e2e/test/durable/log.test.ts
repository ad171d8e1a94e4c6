// The output log of a durable exec: what happens when it is full, by either policy, and that followers do not wait
// for each other.
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BelayClient, ExecHandle } from "@belay/client";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll } from "../../src/wait.ts";
import { CheckedFollower, expectWhole, followChecked } from "../support/checked-follower.ts";
import { flags } from "../support/flags.ts";
import { localTotals } from "../support/local-run.ts";
import { bytesOf, printLines } from "../support/numbered-lines.ts";

const lines = 500_000;
/** Less than a quarter of what they take. */
const logBytes = 1024 * 1024;

let deployment: Deployment;
let client: BelayClient;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisorArgs: flags({ "reconnect-max-ms": 100 }),
  });
  client = deployment.belayClient();
});
afterAll(() => deployment[Symbol.asyncDispose]());

interface Started {
  exec: ExecHandle;
  /** Whether it has written all. */
  isWritten: () => Promise<boolean>;
}

/** Prints all lines, notes that it has, and exits with 8. */
async function start(
  logOverflow: "wait" | "drop_oldest",
  { lines: count = lines, bytes = logBytes } = {},
): Promise<Started> {
  const { sandboxId, home } = deployment.supervisor();
  const file = `written-${randomUUID()}`;
  const script = `${printLines(count)}; echo > ${file}; exit 8`;
  const options = { logBytes: bytes, logOverflow, detached: true };
  const exec = await client.start({ sandboxId }, ["sh", "-c", script], options);
  return { exec, isWritten: async () => (await readdir(home)).includes(file) };
}

/** Resolves when a log that is at least half full grows no more. */
async function untilStill(exec: ExecHandle): Promise<number> {
  let before = -1;
  return await poll(
    "the log to be full",
    async () => {
      const { stdout } = await exec.get();
      const isStill = stdout.endOffset === before && stdout.endOffset >= logBytes / 2;
      before = stdout.endOffset;
      return isStill && stdout.endOffset;
    },
    { everyMs: 300 },
  );
}

describe("a log that is full and followed by nobody", () => {
  it("makes the process wait, and nothing is lost", async () => {
    const { exec, isWritten } = await start("wait");
    const kept = await untilStill(exec);
    // What it holds, and what is on its way: a pipe, and a chunk that was read of it.
    expect(kept).toBeLessThanOrEqual(logBytes + 512 * 1024);
    expect(await isWritten()).toBe(false);
    expect(await exec.get()).toMatchObject({ state: "running", stdout: { firstOffset: 0 } });
    expectWhole(await followChecked(exec), 8, { stdout: bytesOf(lines) });
    expect(await isWritten()).toBe(true);
  });

  it("drops the oldest where the exec wants that, and says how much", async () => {
    const { exec } = await start("drop_oldest");
    expect(await exec.wait()).toMatchObject({ reason: "exited", exitCode: 8 });
    const { exit, verified, bytes, dropped } = await followChecked(exec);
    const { stdout } = await exec.get();
    expect(stdout.endOffset - stdout.firstOffset).toBeGreaterThan(logBytes * 0.5);
    expect(stdout.endOffset - stdout.firstOffset).toBeLessThanOrEqual(logBytes);
    expect(dropped).toEqual([
      { is: "dropped", stream: "stdout", fromOffset: 0, toOffset: stdout.firstOffset },
    ]);
    expect(bytes.stdout).toBe(bytesOf(lines));
    expect(verified, "not all of it came").toBe(false);
    // The totals are of all that was written, as the same script gives it here.
    const truth = await localTotals(printLines(lines));
    expect(exit.stdout.bytes).toBe(truth.stdout.bytes);
    expect(Buffer.from(exit.stdout.sha256).toString("hex")).toBe(truth.stdout.sha256);
  });
});

describe("a follower that stops reading", () => {
  it("delays neither the process nor who reads on, and is told what it missed", async () => {
    // What the stuck one's way holds is far less than the log: while that one is ahead, nothing is dropped.
    const more = { lines: 3_000_000, bytes: 8 * logBytes };
    const { exec, isWritten } = await start("wait", more);
    const gate = Promise.withResolvers<void>();
    using stuckClient = deployment.belayClient();
    const stuck = new CheckedFollower(stuckClient.attach(exec.sandboxId, exec.execId), {
      onOutput: () => gate.promise,
    });
    await stuck.first;
    const reader = new CheckedFollower(exec);
    expectWhole(await reader.result, 8, { stdout: bytesOf(more.lines) });
    expect(await isWritten()).toBe(true);
    expect(stuck.bytes.stdout, "has read one piece").toBeLessThan(logBytes);
    gate.resolve();
    const late = await stuck.result;
    expect(late).toMatchObject({ exit: { exitCode: 8 }, verified: false });
    const missed = late.dropped.map(({ fromOffset, toOffset }) => toOffset - fromOffset);
    expect(missed.length).toBeGreaterThan(0);
    expect(late.bytes.stdout, "read or told").toBe(bytesOf(more.lines));
  });

  it("does not hold up a cancel", async () => {
    const { exec } = await start("wait");
    const gate = Promise.withResolvers<void>();
    using stuckClient = deployment.belayClient();
    const stuck = new CheckedFollower(stuckClient.attach(exec.sandboxId, exec.execId), {
      onOutput: () => gate.promise,
    });
    await stuck.first;
    expect(await exec.cancel()).toMatchObject({ reason: "canceled" });
    gate.resolve();
    expect((await stuck.result).exit.reason).toBe("canceled");
  });
});
