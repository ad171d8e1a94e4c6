import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExecState } from "@belay/protocol";
import { ExecBench } from "../support/exec-bench.ts";
import { pidsOf, uniqueSleep } from "../support/processes.ts";
import { followFrame, startAndFollow, startFrame } from "../support/start-frame.ts";
import type { Followed, SubsystemClient } from "../support/subsystem-client.ts";
import { until } from "../support/until.ts";

const sh = (script: string) => ["/bin/sh", "-c", script];
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest();

let bench: ExecBench;
let client: SubsystemClient;

beforeEach(async () => {
  bench = new ExecBench({ limits: { orphanWindowMs: 60_000 } });
  client = await bench.converse();
});
afterEach(() => bench[Symbol.asyncDispose]());

async function run(execId: string, ...start: Parameters<typeof startAndFollow>): Promise<Followed> {
  const channel = await client.open();
  channel.send(execId, startAndFollow(...start));
  const followed = await channel.followToEnd();
  channel.close();
  return followed;
}

/** Bytes that the newest exec has written to the stream. */
function written(stream: "stdout" | "stderr"): number {
  return bench.durable.list()[0]?.log.range(stream).endOffset ?? 0;
}

describe("an exec that is started and followed", () => {
  it("gives its output, then its exit with the size and the hash of each stream", async () => {
    const { stdout, stderr, exit } = await run("e1", sh("echo out; echo err >&2; exit 3"));
    expect(String(stdout)).toBe("out\n");
    expect(String(stderr)).toBe("err\n");
    expect(exit).toMatchObject({ reason: "exited", exitCode: 3, outputIncomplete: false });
    expect(exit?.stdout).toMatchObject({ bytes: 4n });
    expect(Buffer.from(exit!.stderr!.sha256)).toEqual(sha256(stderr));
    expect(exit!.endedAtMs).toBeGreaterThanOrEqual(exit!.startedAtMs);
  });

  it("gets its arguments as they are", async () => {
    const words = ["a b", "", "$HOME", "line\nbreak", "'\"\\", "x".repeat(100_000)];
    const { stdout } = await run("e1", ["printf", "%s|", ...words]);
    expect(String(stdout)).toBe(words.map((word) => `${word}|`).join(""));
  });

  it("gets its environment and its directory", async () => {
    const { stdout } = await run("e1", sh('echo "$A $BELAY_EXEC_ID"; pwd'), {
      environment: { A: "x y" },
      workdir: "/usr",
    });
    expect(String(stdout)).toBe("x y e1\n/usr\n");
  });

  it("ends with 127 when there is no such program, and says so", async () => {
    const { exit, stderr } = await run("e1", ["no-such-program", "x"]);
    expect(exit).toMatchObject({ reason: "exited", exitCode: 127 });
    expect(String(stderr)).toContain("no-such-program");
  });

  it.each(["/no/such", "/etc/passwd"])(
    "ends with 126 when its directory %s cannot be entered, and says so",
    async (workdir) => {
      const { exit, stderr } = await run("e1", ["true"], { workdir });
      expect(exit).toMatchObject({ reason: "exited", exitCode: 126 });
      expect(String(stderr)).toContain(workdir);
    },
  );

  it("tells the signal that ended it", async () => {
    const { exit } = await run("e1", sh("kill -KILL $$"));
    expect(exit).toMatchObject({ reason: "signaled", signal: "KILL", exitCode: 137 });
  });

  it("finds the end of its input when none will come", async () => {
    const { exit, stdout } = await run("e1", ["cat"]);
    expect(exit).toMatchObject({ reason: "exited", exitCode: 0 });
    expect(stdout).toHaveLength(0);
  });

  it("has a terminal of the size asked for", async () => {
    const { stdout } = await run("e1", ["stty", "size"], { terminal: { cols: 100, rows: 30 } });
    expect(String(stdout).trim()).toBe("30 100");
  });

  it("shares its SSH connection with others", async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => run(`e${i}`, sh(`echo ${i}; exit ${i}`))),
    );
    expect(all.map(({ exit }) => exit?.exitCode)).toEqual(all.map((_, i) => i));
    expect(all.map(({ stdout }) => String(stdout))).toEqual(all.map((_, i) => `${i}\n`));
  });
});

describe("a start", () => {
  it("that is repeated gives the exec that is there", async () => {
    const script = sh("echo once; echo $$");
    const first = await run("e1", script, { environment: { A: "1", B: "2" } });
    const second = await run("e1", script, { environment: { B: "2", A: "1" } });
    expect(second.stdout).toEqual(first.stdout);
    expect(bench.durable.list()).toHaveLength(1);
  });

  it("that is repeated before its answer has come runs nothing twice", async () => {
    const both = await Promise.all([run("e1", sh("echo $$")), run("e1", sh("echo $$"))]);
    expect(both[0]!.stdout).toEqual(both[1]!.stdout);
  });

  it("with another spec under the same id is refused", async () => {
    await run("e1", ["true"]);
    expect(await client.ask("e1", startFrame(["false"]))).toMatchObject({
      case: "failed",
      value: { kind: "exec_conflict", outcome: "not_started" },
    });
  });

  it("that comes after its cancel is refused", async () => {
    expect(await client.info("e1", { case: "cancel", value: {} })).toMatchObject({
      state: ExecState.UNSPECIFIED,
    });
    expect(await client.ask("e1", startFrame(["true"]))).toMatchObject({
      case: "failed",
      value: { kind: "exec_fenced", outcome: "not_started" },
    });
  });

  it("that cannot be runs nothing, and leaves its id free", async () => {
    expect(await client.ask("e1", startFrame([]))).toMatchObject({
      case: "failed",
      value: { kind: "invalid_request", outcome: "not_started" },
    });
    const long = ["true", "x".repeat(200_000)];
    expect(await client.ask("e1", startFrame(long))).toMatchObject({
      case: "failed",
      value: { kind: "invalid_request", outcome: "not_started" },
    });
    expect((await run("e1", ["true"])).exit?.exitCode).toBe(0);
  });
});

describe("a follower", () => {
  it("goes on at its offsets over another connection, with every byte once", async () => {
    const channel = await client.open();
    const script = "printf 12345; printf abc >&2; read -r _; printf 67890; printf def >&2";
    channel.send("e1", startAndFollow(sh(script), { stdin: true }));
    await until("the first bytes", () => written("stderr") === 3);
    client.cut();

    client = await bench.converse();
    const again = await client.open();
    again.send("e1", followFrame(2, 1));
    await client.ask("e1", {
      case: "stdin",
      value: { offset: 0n, data: Buffer.from("\n"), end: true },
    });
    const { stdout, stderr, exit } = await again.followToEnd();
    expect(String(stdout)).toBe("34567890");
    expect(String(stderr)).toBe("bcdef");
    expect(exit).toMatchObject({ exitCode: 0, stdout: { bytes: 10n }, stderr: { bytes: 6n } });
  });

  it("that comes after the end gets all of it", async () => {
    await client.info("e1", startFrame(sh("echo late")));
    await client.info("e1", { case: "wait", value: { limitMs: 10_000n } });
    const channel = await client.open();
    channel.send("e1", followFrame());
    expect(await channel.followToEnd()).toMatchObject({
      stdout: Buffer.from("late\n"),
      exit: { exitCode: 0 },
    });
  });

  it("that does not wait gets what there is", async () => {
    await client.info("e1", startFrame(sh("echo so far; exec sleep 60")));
    await until("the output", () => written("stdout") > 0);
    const channel = await client.open();
    channel.send("e1", followFrame(0, 0, { noWait: true }));
    expect(await channel.followToEnd()).toMatchObject({
      stdout: Buffer.from("so far\n"),
      exit: undefined,
    });
  });

  it("cannot begin beyond the end", async () => {
    await client.info("e1", startFrame(["sleep", "60"]));
    expect(await client.ask("e1", followFrame(1))).toMatchObject({
      case: "failed",
      value: { kind: "offset_out_of_range" },
    });
  });

  it("of an exec that nobody knows is told so", async () => {
    expect(await client.ask("e1", followFrame())).toMatchObject({
      case: "failed",
      value: { kind: "exec_not_found", outcome: "unknown" },
    });
  });

  it("that stops reading delays nobody else", async () => {
    // More than a channel's window, so that neither can be too far ahead of the other at first.
    const spec = { logBytes: 8_000_000n, stdin: true };
    const start = startAndFollow(sh("read -r _; head -c 20000000 /dev/zero"), spec);
    const [stuck, reader] = [await client.open(), await client.open()];
    for (const channel of [stuck, reader]) channel.send("e1", start);
    await until("both follow", () => bench.durable.list()[0]?.info().followers === 2);
    await client.ask("e1", {
      case: "stdin",
      value: { offset: 0n, data: Buffer.from("\n"), end: true },
    });
    const { stdout, exit } = await reader.followToEnd();
    expect(stdout).toHaveLength(20_000_000);
    expect(exit).toMatchObject({ exitCode: 0, stdout: { bytes: 20_000_000n } });
    const late = await stuck.followToEnd();
    expect(late.stdout.length + late.droppedBytes).toBe(20_000_000);
    expect(late.droppedBytes).toBeGreaterThan(0);
  });
});

describe("input", () => {
  const stdin = (offset: number, data: string, end = false) =>
    ({ case: "stdin", value: { offset: BigInt(offset), data: Buffer.from(data), end } }) as const;

  it("that is sent again after a break is taken once", async () => {
    await client.info("e1", startFrame(["cat"], { stdin: true }));
    expect(await client.ask("e1", stdin(0, "hello "))).toMatchObject({ value: { offset: 6n } });
    client.cut();
    client = await bench.converse();
    await client.ask("e1", stdin(0, "hello "));
    expect(await client.ask("e1", stdin(9, "x"))).toMatchObject({
      value: { kind: "offset_out_of_range" },
    });
    await client.ask("e1", stdin(6, "world", true));
    const channel = await client.open();
    channel.send("e1", followFrame());
    expect(String((await channel.followToEnd()).stdout)).toBe("hello world");
  });

  it("that the process does not read holds up no signal", async () => {
    const channel = await client.open();
    channel.send("e1", startAndFollow(["sleep", "60"], { stdin: true }));
    const chunk = "x".repeat(60_000);
    for (let i = 0; i < 14; i += 1) channel.send("e1", stdin(i * chunk.length, chunk));
    channel.send("e1", { case: "signal", value: { name: "USR1" } });
    expect((await channel.followToEnd()).exit).toMatchObject({
      reason: "signaled",
      signal: "USR1",
    });
  });

  it("of a process that has ended is dropped", async () => {
    await run("e1", ["true"], { stdin: true });
    expect(await client.ask("e1", stdin(0, "x"))).toMatchObject({
      case: "stdinAck",
      value: { closed: true },
    });
  });
});

describe("a resize", () => {
  const resize = { case: "resize", value: { cols: 100, rows: 30 } } as const;

  it("that comes too late fails, but not for who follows", async () => {
    const channel = await client.open();
    channel.send("resized", startAndFollow(sh("sleep 3 & exit 3"))); // which holds the output open
    await until("the exit", () => bench.durable.list()[0]?.hasExited);
    channel.send("", resize);
    const { info, exit } = await channel.followToEnd();
    expect([info.execId, exit?.exitCode]).toEqual(["resized", 3]);
    expect(await client.ask("resized", resize)).toMatchObject({
      case: "failed",
      value: { kind: "exec_ended" },
    });
  });

  it("reaches a program that reads none of the sixteen frames of input before it", async () => {
    const channel = await client.open();
    const script = "stty raw -echo; trap 'stty size; exit 0' WINCH; sleep 60 & echo up; wait";
    channel.send("e1", startAndFollow(sh(script), { terminal: {}, stdin: true }));
    await until("up", () => written("stdout") > 0);
    const data = Buffer.alloc(60_000);
    for (let i = 0; i < 16; i += 1) {
      channel.send("", { case: "stdin", value: { offset: BigInt(i * data.length), data } });
    }
    channel.send("", resize);
    expect(String((await channel.followToEnd()).stdout)).toContain("30 100");
  });
});

describe("the end", () => {
  it("can be waited for, for so long", async () => {
    await client.info("e1", startFrame(sh("read -r _; exit 4"), { stdin: true }));
    expect(await client.info("e1", { case: "wait", value: { limitMs: 1n } })).toMatchObject({
      state: ExecState.RUNNING,
    });
    const waiting = client.info("e1", { case: "wait", value: { limitMs: 60_000n } });
    await client.ask("e1", { case: "stdin", value: { end: true } });
    expect(await waiting).toMatchObject({ state: ExecState.ENDED, exit: { exitCode: 4 } });
  });

  it("by a signal is the process's own", async () => {
    await client.info(
      "e1",
      startFrame(sh("trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done")),
    );
    await until("ready", () => written("stdout") > 0);
    await client.info("e1", { case: "signal", value: { name: "TERM" } });
    expect(await client.info("e1", { case: "wait", value: { limitMs: 60_000n } })).toMatchObject({
      exit: { reason: "exited", exitCode: 9 },
    });
    expect(await client.ask("e1", { case: "signal", value: { name: "TERM" } })).toMatchObject({
      case: "failed",
      value: { kind: "exec_ended" },
    });
  });

  it("by a cancel is told when the whole tree is gone", async () => {
    const [left, forked, led] = [uniqueSleep(), uniqueSleep(), uniqueSleep()];
    const script = `trap '' TERM; setsid sleep ${left} & (sleep ${forked} &) ; echo up; sleep ${led}`;
    await client.info("e1", startFrame(sh(script)));
    const marks = [left, forked, led];
    await until("up", () => marks.every((mark) => pidsOf(`sleep\0${mark}`).length === 1));
    const { exit } = await client.info("e1", { case: "cancel", value: {} });
    expect(exit).toMatchObject({ reason: "canceled" });
    expect(exit!.processesEnded).toBeGreaterThanOrEqual(4); // and the shell
    expect(marks.flatMap(pidsOf)).toEqual([]);
  });

  it("by a timeout comes while nobody is connected", async () => {
    await client.info("e1", startFrame(["sleep", "1000"], { timeoutMs: 100n }));
    client.cut();
    await until("the end", () => bench.durable.list()[0]?.ended.aborted);
    client = await bench.converse();
    expect(await client.info("e1", { case: "get", value: {} })).toMatchObject({
      state: ExecState.ENDED,
      exit: { reason: "timed_out", exitCode: 124, signal: "TERM" },
    });
  });

  it("is kept for its time, and never run again after it", async () => {
    await client.info("e1", startFrame(["true"], { retentionMs: 200n }));
    await until("forgotten", () => bench.durable.list().length === 0);
    expect(await client.ask("e1", { case: "get", value: {} })).toMatchObject({
      value: { kind: "exec_not_found" },
    });
    expect(await client.ask("e1", startFrame(["true"], { retentionMs: 200n }))).toMatchObject({
      value: { kind: "exec_ended", outcome: "completed" },
    });
  });

  it("of many is kept for the newest", async () => {
    await using small = new ExecBench({ limits: { endedExecs: 2 } });
    client = await small.converse();
    for (const id of ["a", "b", "c"]) await run(id, ["true"]);
    expect(small.durable.list().map(({ id }) => id)).toEqual(["c", "b"]);
  });

  it("is kept for a follower that is still reading, whatever its time or its place", async () => {
    await using small = new ExecBench({ limits: { endedExecs: 1 } });
    client = await small.converse();
    const ids = () => small.durable.list().map(({ id }) => id);
    const slow = await client.open();
    // More than a channel's window.
    slow.send("a", startAndFollow(sh("head -c 6000000 /dev/zero"), { retentionMs: 100n }));
    await until("its end", () => small.durable.list()[0]?.ended.aborted === true);
    for (const id of ["b", "c"]) await run(id, ["true"], { retentionMs: 100n });
    await until("the others forgotten", () => ids().length === 1);
    const { stdout, exit } = await slow.followToEnd();
    expect([stdout.length, exit?.stdout?.bytes]).toEqual([6_000_000, 6_000_000n]);
    slow.close();
    await until("it is forgotten as well", () => ids().length === 0);
    expect(await client.ask("a", startFrame(["true"]))).toMatchObject({
      value: { kind: "exec_ended" },
    });
  });
});

describe("one channel", () => {
  it("follows once", async () => {
    const channel = await client.open();
    channel.send("e1", startAndFollow(["sleep", "60"]));
    expect((await channel.next()).case).toBe("info");
    channel.send("e1", followFrame());
    expect(await channel.next()).toMatchObject({ value: { kind: "protocol_violation" } });
  });

  it("has so many questions that wait, and no more", async () => {
    await client.info("e1", startFrame(["sleep", "60"]));
    const channel = await client.open();
    const { channelQuestions } = bench.limits;
    const wait = { case: "wait", value: { limitMs: 60_000n } } as const;
    for (let i = 0; i < channelQuestions; i += 1) channel.send("e1", wait);
    channel.send("e1", { case: "get", value: {} });
    expect((await channel.next()).case).toBe("info"); // all of them are taken
    channel.send("e1", wait);
    expect(await channel.next()).toMatchObject({ value: { kind: "protocol_violation" } });
  });
});

describe("an exec that nobody follows", () => {
  it("is ended after the orphan window, and says that it was lost", async () => {
    await using short = new ExecBench({ limits: { orphanWindowMs: 100 } });
    client = await short.converse();
    await client.info("e1", startFrame(["sleep", "1000"]));
    expect(await client.info("e1", { case: "wait", value: { limitMs: 60_000n } })).toMatchObject({
      exit: { reason: "lost", signal: "TERM" },
    });
  });

  it("runs on while it is followed, and when it is detached", async () => {
    await using short = new ExecBench({ limits: { orphanWindowMs: 100 } });
    client = await short.converse();
    const followed = await client.open();
    followed.send("followed", startAndFollow(sh("sleep 0.4; exit 5")));
    await client.info("detached", startFrame(sh("sleep 0.4; exit 6"), { detached: true }));
    expect((await followed.followToEnd()).exit).toMatchObject({ reason: "exited", exitCode: 5 });
    expect(
      await client.info("detached", { case: "wait", value: { limitMs: 60_000n } }),
    ).toMatchObject({ exit: { reason: "exited", exitCode: 6 } });
  });
});
