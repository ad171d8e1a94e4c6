// exec-cgroup.test.ts: a cgroup for each exec, with the kernel's own where this machine lets us.
import { spawn } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import { ExecCgroups, cgroupName } from "../src/process/exec-cgroup.ts";
import { findOwnCgroup } from "../src/process/own-cgroup.ts";
import { ExecBench } from "./support/exec-bench.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { RecordingLog } from "./support/recording-log.ts";
import { until } from "./support/until.ts";

describe("the place of exec cgroups", () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "belay-cgroup-"));
  });

  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  /** A machine whose files say so. */
  function sources(mountInfo: string, ownCgroups: string) {
    writeFileSync(join(dir, "mountinfo"), mountInfo);
    writeFileSync(join(dir, "cgroup"), ownCgroups);
    return { mountInfo: join(dir, "mountinfo"), ownCgroups: join(dir, "cgroup") };
  }

  function lists(path: string, pids: readonly number[]): string {
    mkdirSync(join(dir, path), { recursive: true });
    writeFileSync(join(dir, path, "cgroup.procs"), pids.map((pid) => `${pid}\n`).join(""));
    return join(dir, path);
  }

  const v1 = "30 29 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";

  it("is our own cgroup, below the mount", () => {
    const own = lists("unified/user/us", [1, process.pid]);
    const mount = `31 29 0:29 / ${dir}/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n`;
    expect(findOwnCgroup(sources(v1 + mount, "2:cpu:/other\n0::/user/us\n"))).toBe(own);
  });

  it("is found where only a part of the hierarchy is mounted, at a path with spaces", () => {
    const own = lists("a b/us", [process.pid]);
    const mount = `31 29 0:29 /user ${dir}/a\\040b rw - cgroup2 none rw\n`;
    expect(findOwnCgroup(sources(mount, "0::/user/us\n"))).toBe(own);
  });

  it("is none where the directory of that name is not ours", () => {
    lists("unified/user/us", [1]);
    const mount = `31 29 0:29 / ${dir}/unified rw - cgroup2 cgroup2 rw\n`;
    expect(findOwnCgroup(sources(mount, "0::/user/us\n"))).toBeUndefined();
  });

  it("is none without cgroup v2, mounted and with us in it", () => {
    const mount = `31 29 0:29 / ${dir}/unified rw - cgroup2 cgroup2 rw\n`;
    lists("unified", [process.pid]);
    expect(findOwnCgroup(sources(v1 + mount, "2:cpu:/\n"))).toBeUndefined();
    expect(findOwnCgroup(sources(v1, "0::/\n"))).toBeUndefined();
    expect(findOwnCgroup({ mountInfo: `${dir}/none`, ownCgroups: `${dir}/none` })).toBeUndefined();
  });

  it("is none where nothing can be made, or only what takes no processes", () => {
    const log = new RecordingLog();
    expect(ExecCgroups.open(systemClock, log, join(dir, "missing"))).toBeUndefined();
    const withoutTypes = lists("plain", [process.pid]);
    expect(ExecCgroups.open(systemClock, log, withoutTypes)).toBeUndefined();
    expect(readdirSync(withoutTypes)).toEqual(["cgroup.procs"]);
  });

  it("names a cgroup so that it is one directory, whatever the exec is called", () => {
    expect(cgroupName("0198-ab_c.d")).toBe("belay-0198-ab_c.d");
    expect(cgroupName("../../a b\n")).toBe("belay-.._.._a_b_");
    expect(cgroupName("x".repeat(1_000)).length).toBeLessThan(256);
  });
});

const isPossible = ExecCgroups.open(systemClock, new RecordingLog()) !== undefined;

/** Waits, in the command, until it is in its cgroup. */
const enclosed = "until grep -q belay- /proc/self/cgroup; do :; done";

describe.skipIf(!isPossible)("an exec with a cgroup", () => {
  const own = findOwnCgroup() ?? "";
  const log = new RecordingLog();
  const marks: string[] = [];
  let bench: ExecBench;

  beforeEach(() => {
    log.lines.splice(0);
    bench = new ExecBench({ cgroups: ExecCgroups.open(systemClock, log) });
  });

  afterEach(async () => {
    for (const mark of marks.splice(0))
      for (const pid of pidsOf(mark)) process.kill(pid, "SIGKILL");
    await bench[Symbol.asyncDispose]();
  });

  /** A duration for a `sleep` that no other process has, and those that have it. */
  function mark() {
    const seconds = uniqueSleep();
    const sleep = `sleep\0${seconds}\0`;
    marks.push(sleep);
    return { seconds, live: () => pidsOf(sleep) };
  }

  async function startHiding(count: number) {
    const { seconds, live } = mark();
    const execId = `cgroup-test-${process.pid}-${seconds}`;
    const connection = await bench.connect();
    // No environment, no session, no parent.
    const hide = `env -i setsid sh -c 'sleep ${seconds} & exit'`;
    const command = `${enclosed}; ${hide} & exec sleep ${seconds}`;
    const exec = await connection.exec(command, { env: { BELAY_EXEC_ID: execId } });
    exec.channel.end();
    await until("they run", () => live().length === count);
    return { connection, exec, live, execId, dir: join(own, cgroupName(execId)) };
  }

  const missingFor = (execId: string) =>
    log.events("exec.cgroup_missing").filter(({ fields }) => fields["execId"] === execId);

  /** Two sleeps, one of them in a session of its own and without an environment. */
  async function startElsewhere() {
    const { seconds, live } = mark();
    const command = `env -i setsid sleep ${seconds} & sleep ${seconds}; :`;
    const child = spawn("/bin/sh", ["-c", command], { stdio: "ignore", detached: true });
    await until("they run", () => live().length === 2);
    return { live, pid: child.pid!, execId: `cgroup-test-${process.pid}-${seconds}` };
  }

  it("ends also who has dropped its environment, its session and its parent", async () => {
    const { exec, live } = await startHiding(2);
    const finished = exec.finished();
    exec.signal("KILL");
    await expect(finished).resolves.toMatchObject({ signal: "SIGKILL" });
    expect(live()).toEqual([]);
  });

  it("takes in also what the command has started before it was moved", async () => {
    const { live, pid, execId } = await startElsewhere();
    const cgroups = ExecCgroups.open(systemClock, log)!;
    const cgroup = cgroups.enclose(execId, pid)!;
    await until("both are inside", () => cgroup.pids().length === 3);
    expect(new Set(cgroup.pids())).toEqual(new Set([pid, ...live()]));
    await until("it runs again", () => !/^State:\tT/m.test(statusOf(pid)));
    cgroup.kill();
    await until("all have ended", () => live().length === 0);
    cgroup.close();
    await until("it is removed", () => !exists(join(own, cgroupName(execId))));
  });

  it("waits for those, too, after a TERM", async () => {
    const { connection, exec, live } = await startHiding(2);
    exec.channel.close();
    await until("all have ended", () => live().length === 0);
    await until("the exec is over", () => bench.execs.size === 0);
    connection.client.end();
    expect(bench.log.events("exec.kill_outlived")).toEqual([]);
  });

  it("leaves no cgroup behind", async () => {
    const { exec, execId, dir } = await startHiding(2);
    expect(readdirSync(own)).toContain(dir.slice(own.length + 1));
    exec.signal("KILL");
    await exec.finished();
    expect(await until("it is removed", () => !exists(dir))).toBe(true);
    expect(missingFor(execId)).toEqual([]);
  });

  it("leaves alone what a command left running, and removes its cgroup later", async () => {
    const { seconds, live } = mark();
    const execId = `cgroup-test-${process.pid}-${seconds}`;
    const options = { env: { BELAY_EXEC_ID: execId } };
    const connection = await bench.connect();
    const exec = await connection.exec(`${enclosed}; sleep ${seconds} >/dev/null 2>&1 &`, options);
    exec.channel.end();
    await exec.finished();
    await until("it was tried", () => log.events("exec.cgroup_left").length === 1);
    expect(live()).toHaveLength(1);
    expect(exists(join(own, cgroupName(execId)))).toBe(true);

    process.kill(live()[0]!, "SIGKILL");
    await until("it has ended", () => live().length === 0);
    await until("a later exec removes it", async () => {
      await bench.run("true");
      return !exists(join(own, cgroupName(execId)));
    });
  });

  it("runs without one where one of that name is in use", async () => {
    const execId = `cgroup-test-${process.pid}-${uniqueSleep()}`;
    const dir = join(own, cgroupName(execId));
    mkdirSync(dir);
    const finished = await bench.run("exit 7", { env: { BELAY_EXEC_ID: execId } });
    expect(finished.code).toBe(7);
    expect(missingFor(execId)).toHaveLength(1);
    rmdirSync(dir);
  });

  it("works on a terminal", async () => {
    const finished = await bench.run(`${enclosed}; cat /proc/self/cgroup`, { pty: true });
    expect(finished.stdout.toString()).toMatch(/^0::.*\/belay-[^/]*\r$/m);
  });

  it("removes at its start what an earlier supervisor left empty, nested ones included", () => {
    const stale = join(own, `belay-test-stale-${process.pid}`);
    mkdirSync(join(stale, "nested"), { recursive: true });
    const fresh = join(own, `belay-test-fresh-${process.pid}`);
    mkdirSync(fresh);
    utimesSync(stale, 1, 1);
    ExecCgroups.open(systemClock, log);
    expect([exists(stale), exists(fresh)]).toEqual([false, true]);
    rmdirSync(fresh);
  });
});

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, "latin1");
}

function exists(dir: string): boolean {
  try {
    return readdirSync(dir).length > 0;
  } catch {
    return false;
  }
}
