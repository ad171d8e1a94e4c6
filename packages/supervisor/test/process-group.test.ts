// process-group.test.ts: whom an exec's end reaches, what is known of it, and at which cost.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import { ManualClock } from "@belay/relay-core/testing";
import { ProcessGroup } from "../src/process/process-group.ts";
import { ProcessTable, stillLives } from "../src/process/process-table.ts";
import type { ProcessEntry } from "../src/process/process-table.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { until } from "./support/until.ts";

const leaders: ChildProcess[] = [];
const sleeps: string[] = [];

afterEach(() => {
  for (const leader of leaders.splice(0)) leader.kill("SIGKILL");
  for (const sleep of sleeps.splice(0)) for (const pid of pidsOf(sleep)) process.kill(pid, 9);
});

async function start(command: string): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn("/bin/sh", ["-c", command], {
    env: { PATH: process.env["PATH"], MARK: "exec-1" },
    stdio: "ignore",
    detached: true,
  });
  leaders.push(child);
  await once(child, "spawn");
  return child as ChildProcess & { readonly pid: number };
}

/** A command line of these, and who of them lives. */
function mark(): { readonly sleep: string; readonly live: () => number[] } {
  const seconds = uniqueSleep();
  sleeps.push(`sleep\0${seconds}\0`);
  return { sleep: `sleep ${seconds}`, live: () => pidsOf(`sleep\0${seconds}\0`) };
}

describe("a group", () => {
  it("is not gone while somebody lives who left it after the look that all share", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const leader = await start("exec sleep 60");
    const group = new ProcessGroup(leader.pid, "exec-1", table, clock);
    const shared = table.live({ sinceMs: 0 });

    const stray = await start("exec sleep 60");
    leader.kill("SIGKILL");
    await once(leader, "exit");
    expect(table.live({ sinceMs: 0 })).toBe(shared);
    const gone = group.whenGone("everything", 1);
    await clock.advance(20);
    await expect(gone).resolves.toBe(false);

    stray.kill("SIGKILL");
    await once(stray, "exit");
    const goneAtLast = group.whenGone("everything", 1);
    await clock.advance(20);
    await expect(goneAtLast).resolves.toBe(true);
  });

  it("is gone at the first poll after its end, not at the end of the wait", async () => {
    const clock = new ManualClock();
    const leader = await start("exec sleep 60");
    const table = new ProcessTable("MARK", clock);
    const group = new ProcessGroup(leader.pid, "exec-1", table, clock);
    const gone = group.whenGone("everything", 60_000);
    await clock.advance(1_000);
    leader.kill("SIGKILL");
    await once(leader, "exit");
    await clock.advance(100);
    expect(await Promise.race([gone, Promise.resolve("still waited for")])).toBe(true);
  });

  it("is told TERM in all of it, who left after the look that all share included", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const leader = await start("exec sleep 60");
    const group = new ProcessGroup(leader.pid, "exec-1", table, clock);
    table.live({ sinceMs: 0 });
    const stray = await start("exec sleep 60");
    const exits = Promise.all([once(leader, "exit"), once(stray, "exit")]);
    const ended = group.terminate({ graceMs: 60_000, killWaitMs: 1 });
    await clock.advance(10);
    await expect(exits).resolves.toEqual([
      [null, "SIGTERM"],
      [null, "SIGTERM"],
    ]);
    await clock.advance(100);
    await expect(ended).resolves.toBe(true);
  });
});

describe("hundreds of groups that end at the same time", () => {
  /** Nobody who lives: their pids are beyond the kernel's. */
  const nobody = (index: number): ProcessEntry => ({
    pid: 2 ** 23 + index,
    groupId: 2 ** 23 + index,
    sessionId: 2 ** 23 + index,
    startTime: "0",
    marker: undefined,
  });
  const GROUPS = 300;
  const entries = Array.from({ length: GROUPS }, (_, index) => nobody(index));

  it("share their looks", async () => {
    const clock = new ManualClock();
    let looks = 0;
    const table = new ProcessTable("MARK", clock, () => {
      looks += 1;
      return entries;
    });
    const ends = entries.map(({ pid }) => {
      const group = new ProcessGroup(pid, `exec-${pid}`, table, clock);
      return group.kill(1_000);
    });
    await clock.advance(1_100);
    expect(new Set(await Promise.all(ends))).toEqual(new Set([false]));
    // 300 groups, each of which polls 25 times.
    expect(looks).toBeGreaterThan(20);
    expect(looks).toBeLessThan(60);
  });

  it("leave the supervisor three quarters of its time when looks are slow", async () => {
    const manual = new ManualClock();
    const LOOK_MS = 40;
    let lookedMs = 0;
    const clock: Clock = {
      now: () => manual.now() + lookedMs,
      setTimer: (delayMs, fire) => manual.setTimer(delayMs, fire),
      pollIo: () => manual.pollIo(),
    };
    const table = new ProcessTable("MARK", clock, () => {
      lookedMs += LOOK_MS;
      return entries;
    });
    // They do not ask in step.
    const ends: Promise<boolean>[] = [];
    for (const { pid } of entries.slice(0, 50)) {
      ends.push(new ProcessGroup(pid, `exec-${pid}`, table, clock).whenGone("everything", 3_000));
      await manual.advance(7);
    }
    await manual.advance(5_000);
    expect(new Set(await Promise.all(ends))).toEqual(new Set([false]));
    expect(lookedMs).toBeGreaterThan(LOOK_MS);
    expect(lookedMs / clock.now()).toBeLessThanOrEqual(0.25);
  });
});

describe("the count of ended processes", () => {
  const limits = { graceMs: 300, killWaitMs: 10_000 };

  it("has the leader, its group, and those who have left it", async () => {
    const { sleep, live } = mark();
    const leader = await start(`setsid ${sleep} & (setsid ${sleep} &); ${sleep} & ${sleep}; :`);
    const table = new ProcessTable("MARK", systemClock);
    const group = new ProcessGroup(leader.pid, "exec-1", table, systemClock);
    await until("all sleep", () => live().length === 4);
    expect(group.endedCount).toBe(0);
    await expect(group.terminate(limits)).resolves.toBe(true);
    expect(group.endedCount).toBe(5);
    expect(group.endedCount).toBe(5);
  });

  it("has each once, however often it is signalled, and nobody who lives on", async () => {
    const { sleep, live } = mark();
    const leader = await start(`trap '' TERM; ${sleep} & exec ${sleep}`);
    const table = new ProcessTable("MARK", systemClock);
    const group = new ProcessGroup(leader.pid, "exec-1", table, systemClock);
    await until("both sleep", () => live().length === 2);
    group.signal(["SIGTERM"], "everything");
    group.signal(["SIGTERM"], "everything");
    expect(group.endedCount).toBe(0);
    await expect(group.terminate({ ...limits, graceMs: 1 })).resolves.toBe(true);
    expect(group.endedCount).toBe(2);
  });

  it("has nobody who ended by himself, and nobody whom another signal ended", async () => {
    const { sleep, live } = mark();
    const leader = await start(`(exec ${sleep}) & (exec ${sleep}) & wait`);
    const table = new ProcessTable("MARK", systemClock);
    const group = new ProcessGroup(leader.pid, "exec-1", table, systemClock);
    await until("both sleep", () => live().length === 2);
    process.kill(live()[0]!, "SIGKILL");
    await until("one has ended", () => live().length === 1);
    group.signal(["SIGUSR1"], "everything");
    await expect(group.whenGone("everything", 10_000)).resolves.toBe(true);
    group.signal(["SIGKILL"], "everything");
    expect(group.endedCount).toBe(0);
  });

  it("has nobody who had ended when it was signalled, though a shared look still has him", async () => {
    const clock = new ManualClock();
    const table = new ProcessTable("MARK", clock);
    const { sleep, live } = mark();
    const leader = await start(`${sleep} & exec sleep 60`);
    const group = new ProcessGroup(leader.pid, "exec-1", table, clock);
    await until("it sleeps", () => live().length === 1);
    table.live({ sinceMs: 0 });
    process.kill(live()[0]!, "SIGKILL");
    await until("it has ended", () => live().length === 0);
    group.signal(["SIGKILL"], "everything");
    await once(leader, "exit");
    expect(group.endedCount).toBe(1);
  });

  it("takes nobody for a process whose pid he has now", () => {
    const [own] = new ProcessTable("MARK", systemClock)
      .live({ sinceMs: 0 })
      .filter(({ pid }) => pid === process.pid);
    expect(stillLives(own!)).toBe(true);
    expect(stillLives({ pid: process.pid, startTime: `${Number(own!.startTime) - 1}` })).toBe(
      false,
    );
  });
});
