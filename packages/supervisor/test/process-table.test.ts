import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "@belay/relay-core/testing";
import { ProcessTable } from "../src/process/process-table.ts";
import { until } from "./support/until.ts";

let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill("SIGKILL");
});

async function start(environment: Record<string, string>): Promise<number> {
  child = spawn("sleep", ["60"], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: "ignore",
    detached: true,
  });
  await new Promise((resolve) => child!.once("spawn", resolve));
  return child.pid!;
}

describe("the table of processes", () => {
  it("knows the group, the session and the marker of a process, until it has ended", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const pid = await start({ NOT_MARK: "wrong", MARK: "exec-1" });
    const find = () => table.live({ sinceMs: clock.now() }).find((each) => each.pid === pid);
    expect(find()).toMatchObject({ groupId: pid, sessionId: pid, marker: "exec-1" });
    child?.kill("SIGKILL");
    await until("it has ended", async () => {
      await clock.advance(1_000);
      return find() === undefined;
    });
  });

  it("shares one look among those who ask at a time", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const first = table.live({ sinceMs: 0 });
    await clock.advance(4);
    expect(table.live({ sinceMs: 0 })).toBe(first);
    await clock.advance(4);
    expect(table.live({ sinceMs: 0 })).not.toBe(first);
  });

  it("gives nobody a look from before what he asks about", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const before = table.live({ sinceMs: 0 });
    await clock.advance(1);
    const pid = await start({});
    const after = table.live({ sinceMs: clock.now() });
    expect(after).not.toBe(before);
    expect(after.some((each) => each.pid === pid)).toBe(true);
  });
});
