import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  findProcesses,
  killMarked,
  waitForProcesses,
  waitUntilNoneLeft,
} from "../../src/processes.ts";

function sleeper(env: Record<string, string>, ...argv: string[]): ChildProcess {
  return spawn("sh", ["-c", "sleep 60", ...argv], {
    env: { ...process.env, ...env },
    stdio: "ignore",
  });
}

describe("processes", () => {
  it("finds a process by its environment and by its arguments, and no other", async () => {
    const mark = randomUUID();
    const child = sleeper({ BELAY_E2E_MARK: mark }, `argv-${mark}`);
    await waitForProcesses({ env: `BELAY_E2E_MARK=${mark}`, argv: mark });
    expect(
      (await findProcesses({ env: `BELAY_E2E_MARK=${mark}` })).map((one) => one.pid),
    ).toContain(child.pid);
    expect((await findProcesses({ argv: `argv-${mark}` })).map((one) => one.pid)).toEqual([
      child.pid,
    ]);
    expect(await findProcesses({ env: `BELAY_E2E_MARK=${randomUUID()}` })).toEqual([]);
    await killMarked({ env: `BELAY_E2E_MARK=${mark}` });
    await waitUntilNoneLeft({ env: `BELAY_E2E_MARK=${mark}` });
  });

  it("does not count a zombie", async () => {
    const mark = randomUUID();
    // exec keeps the shell from ever reaping its child, so that the child stays a zombie while the parent lives.
    const parent = spawn("sh", ["-c", `sleep 0.01 ${"& exec sleep 60"}`], {
      env: { ...process.env, BELAY_E2E_MARK: mark },
      stdio: "ignore",
    });
    await waitForProcesses({ env: `BELAY_E2E_MARK=${mark}` });
    await expect
      .poll(async () =>
        (await findProcesses({ env: `BELAY_E2E_MARK=${mark}` })).map((one) => one.pid),
      )
      .toEqual([parent.pid]);
    parent.kill("SIGKILL");
    await once(parent, "exit");
    await waitUntilNoneLeft({ env: `BELAY_E2E_MARK=${mark}` });
  });

  it("says who is left when some do not end", async () => {
    const mark = randomUUID();
    const child = sleeper({ BELAY_E2E_MARK: mark });
    await waitForProcesses({ env: `BELAY_E2E_MARK=${mark}` });
    await expect(waitUntilNoneLeft({ env: `BELAY_E2E_MARK=${mark}` }, 100)).rejects.toThrow(
      new RegExp(`pid ${child.pid} .*sleep 60`),
    );
    await killMarked({ env: `BELAY_E2E_MARK=${mark}` });
  });
});
