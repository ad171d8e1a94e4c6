import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "@belay/relay-core/testing";
import { ProcessGroup } from "../src/process/process-group.ts";
import { ProcessTable } from "../src/process/process-table.ts";

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function startMarked(): Promise<ChildProcess & { readonly pid: number }> {
  const env = { PATH: process.env["PATH"], MARK: "exec-1" };
  const child = spawn("sleep", ["60"], { env, stdio: "ignore", detached: true });
  children.push(child);
  await once(child, "spawn");
  return child as ChildProcess & { readonly pid: number };
}

describe("a group", () => {
  it("is not gone while somebody lives who left it after the look that all share", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const leader = await startMarked();
    const group = new ProcessGroup(leader.pid, "exec-1", table, clock);
    expect(group.isAlive("everything", 0)).toBe(true); // the look

    await clock.advance(1);
    const stray = await startMarked();
    leader.kill("SIGKILL");
    await once(leader, "exit");
    const gone = group.whenGone("everything", 1);
    await clock.advance(1);
    await expect(gone).resolves.toBe(false);

    stray.kill("SIGKILL");
    await once(stray, "exit");
    await clock.advance(1);
    const goneAtLast = group.whenGone("everything", 1);
    await clock.advance(1);
    await expect(goneAtLast).resolves.toBe(true);
  });
});
