// exec.test.ts: commands through our SSH server, as real processes: output, exit, input, their ends.
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Client, ClientChannel } from "ssh2";
import { defaultLimits } from "../src/limits.ts";
import { ExecBench } from "./support/exec-bench.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { slowReader } from "./support/slow-reader.ts";
import { until } from "./support/until.ts";

let bench: ExecBench;

beforeEach(() => {
  bench = new ExecBench();
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const MiB = 1024 * 1024;

/** SSH_OPEN_RESOURCE_SHORTAGE */
const RESOURCE_SHORTAGE = 4;

type Done = (error?: Error) => void;

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

describe("the end of a command", () => {
  it.each([
    ["exit 0", 0],
    ["exit 3", 3],
    ["exit 255", 255],
    ["/etc/passwd", 126],
    ["belay-no-such-command", 127],
  ])("%s is reported as %i", async (command, code) => {
    await expect(bench.run(command)).resolves.toMatchObject({ code, signal: undefined, eof: true });
  });

  it.each(["KILL", "TERM", "SEGV", "USR1"])("by signal %s is reported by name", async (name) => {
    const end = await bench.run(`kill -${name} $$`);
    expect(end).toMatchObject({ code: undefined, signal: `SIG${name}` });
  });

  it("by a signal that SSH has no name for is reported as 128 + n", async () => {
    await expect(bench.run("kill -XCPU $$")).resolves.toMatchObject({ code: 128 + 24 });
  });

  it("is refused, not invented, when there is no shell", async () => {
    await using other = new ExecBench({ shell: "/no/such/shell" });
    await expect(other.run("true")).rejects.toThrow(/exec/i);
    const [line] = other.log.events("exec.start_failed");
    expect(line?.fields["err"]).toMatchObject({ code: "ENOENT" });
  });

  it("is refused for a command line that could not be passed on", async () => {
    await using small = new ExecBench({ limits: { commandLineBytes: 10 } });
    await expect(small.run("echo 67890")).resolves.toMatchObject({ code: 0 });
    await expect(small.run("echo 67890 ")).rejects.toThrow(/exec/i);
    await expect(bench.run("echo a\0b")).rejects.toThrow(/exec/i);
  });
});

describe("output", () => {
  it.each([
    ["together", "head -c $N /dev/urandom | tee /dev/stderr"],
    ["one after the other", "head -c $N /dev/zero; head -c $N /dev/zero >&2"],
  ])(
    "arrives whole in both streams, %s, for a reader that begins late and is slow",
    async (_how, command) => {
      const bytes = 10 * 1024 * 1024;
      const connection = await bench.connect();
      const exec = await connection.exec(`N=${bytes}; ${command}; exit 7`);
      exec.channel.end();
      // SSH's window of 2 MiB, which the two share, is used up again and again.
      const pace = { startAfterMs: 200, pauseEveryBytes: 1024 * 1024, pauseMs: 20 };
      const [stdout, stderr] = await Promise.all([
        slowReader(exec.channel, pace),
        slowReader(exec.channel.stderr, pace),
      ]);
      await exec.closed;
      expect([stdout.length, stderr.length]).toEqual([bytes, bytes]);
      expect(sha256(stderr)).toBe(sha256(stdout));
    },
  );

  it("of /dev/stdout and /dev/stderr, opened by name, arrives", async () => {
    const end = await bench.run("echo out > /dev/stdout; echo err > /dev/stderr");
    expect(end.stdout.toString()).toBe("out\n");
    expect(end.stderr.toString()).toBe("err\n");
  });

  it("ends soon after the exit although a grandchild holds it, and is marked incomplete", async () => {
    const startedMs = performance.now();
    const end = await bench.run("echo before; sleep 8 & exit 4");
    expect(end).toMatchObject({ code: 4, eof: false });
    expect(end.stdout.toString()).toBe("before\n");
    expect(performance.now() - startedMs).toBeLessThan(3_000);
  });

  it("of a grandchild that never stops writing ends in bounded time", async () => {
    await using other = new ExecBench({
      limits: { exitDrain: { quietMs: 250, totalMs: 400, ownBytes: 256 * 1024 } },
    });
    const end = await other.run("echo before; yes & exit 4");
    expect(end).toMatchObject({ code: 4, eof: false });
    expect(end.stdout.subarray(0, 7).toString()).toBe("before\n");
  });

  it("of what a command left running does not end it", async () => {
    const end = await bench.run("sleep 60 >/dev/null 2>&1 </dev/null & echo $!; exit 0");
    const pid = Number(end.stdout.toString());
    expect(end).toMatchObject({ code: 0, eof: true });
    expect(() => process.kill(pid, 0)).not.toThrow();
    process.kill(pid, "SIGKILL");
  });
});

describe("output that the relay does not take", () => {
  it("waits in the command, though the client granted a window for all of it", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec("read -r _; head -c 64000000 /dev/zero");
    const { server } = connection.pair;
    exec.grantWindow(256 * MiB);
    connection.stall();
    exec.channel.write("go\n");
    await until("the relay is full", () => server.writableNeedDrain);
    await until("it stands still", async () => {
      const before = server.writableLength;
      await bench.run("sleep 0.3");
      return server.writableLength === before;
    });
    expect(server.writableLength).toBeLessThan(4 * MiB);
    exec.channel.close();
  });
});

describe("input", () => {
  it("arrives whole, and its end with it", async () => {
    const input = randomBytes(3 * 1024 * 1024);
    const end = await bench.run("cat", { stdin: input });
    expect(end.code).toBe(0);
    expect(end.stdout.equals(input)).toBe(true);
  });

  it("that nobody reads to the end takes nothing from the output", async () => {
    const input = Buffer.alloc(3 * 1024 * 1024, "line\n");
    const end = await bench.run("head -1; exit 6", { stdin: input });
    expect(end).toMatchObject({ code: 6, eof: true });
    expect(end.stdout.toString()).toBe("line\n");
  });

  it("that nobody reads at all takes nothing from the output", async () => {
    const end = await bench.run("exec 0<&-; sleep 0.1; echo done", {
      stdin: Buffer.alloc(3 * 1024 * 1024),
    });
    expect(end).toMatchObject({ code: 0, eof: true });
    expect(end.stdout.toString()).toBe("done\n");
  });

  it.each([
    ["with input", "hello"],
    ["without", ""],
  ])("opened by name after its end, %s, does not hang", async (_name, text) => {
    // With FIFOs it would: opening one whose writer has gone waits for another.
    const end = await bench.run("sleep 0.1; cat /dev/stdin", { stdin: text });
    expect(end).toMatchObject({ code: 0 });
    expect(end.stdout.toString()).toBe(text);
  });

  it("stays open while the client says nothing", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec("read -r line; echo got $line");
    const finished = exec.finished();
    exec.channel.write("something\n");
    expect((await finished).stdout.toString()).toBe("got something\n");
  });
});

describe("the environment", () => {
  it("holds what was asked for, and nothing of ours", async () => {
    await using other = new ExecBench({
      environment: { BELAY_SANDBOX_TOKEN: "s3cret", OPENSHELL_ENDPOINT: "x", KEPT: "yes" },
    });
    const end = await other.run("env", {
      env: { ASKED: "a b\n'c", BELAY_EXEC_ID: "exec-1" } as never,
    });
    const text = end.stdout.toString();
    expect(text).toContain("KEPT=yes\n");
    expect(text).toContain("ASKED=a b\n'c\n");
    expect(text).toContain("BELAY_EXEC_ID=exec-1\n");
    expect(text).not.toContain("s3cret");
    expect(text).not.toContain("OPENSHELL");
    expect(JSON.stringify(other.log.lines)).not.toContain("'c");
  });

  it("that cannot be set fails the command instead of running it without", async () => {
    const limits = { environmentEntries: 1 };
    await using small = new ExecBench({ limits });
    await expect(bench.run("true", { env: { "A-B": "1" } as never })).rejects.toThrow(/exec/i);
    await expect(bench.run("true", { env: { A: "\0" } as never })).rejects.toThrow(/exec/i);
    await expect(small.run("true", { env: { A: "1", B: "2" } as never })).rejects.toThrow(/exec/i);
  });

  it("gives each exec an id, even where the client's is none", async () => {
    const given = await bench.run("echo $BELAY_EXEC_ID", {
      env: { BELAY_EXEC_ID: "no/id" } as never,
    });
    expect(given.stdout.toString()).toMatch(/^[0-9a-f-]{36}\n$/);
  });
});

describe("what an exec leaves behind", () => {
  it("is no descriptor, after 200 execs", async () => {
    const openFds = () => readdirSync("/proc/self/fd").length;
    await using other = new ExecBench({
      limits: { exitDrain: { ...defaultLimits.exitDrain, quietMs: 20 } },
    });
    await other.run("true");
    const pooled = other.limits.pooledPipes;
    const before = openFds();
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          other.run(index % 2 ? "cat; sleep 5 & exit 1" : "echo x", { stdin: "input" }),
        ),
      );
    }
    expect(other.execs.size).toBe(0);
    // The pool may have been low at the first count, or be so at the second.
    expect(openFds()).toBeLessThanOrEqual(before + pooled);
  }, 30_000);

  it("is no limit passed: more execs than allowed are refused", async () => {
    await using small = new ExecBench({ limits: { execs: 1 } });
    const first = await (await small.connect()).exec("sleep 30");
    await expect(small.run("true")).rejects.toThrow(/exec/i);
    first.signal("KILL");
    await first.finished();
    await expect(small.run("true")).resolves.toMatchObject({ code: 0 });
  });
});

describe("an SSH connection", () => {
  it("carries several execs at once, each with its own input and end", async () => {
    const connection = await bench.connect();
    const execs = await Promise.all(
      [1, 2, 3].map((code) => connection.exec(`read -r line; echo $line; exit ${code}`)),
    );
    const ends = execs.map((exec) => exec.finished());
    for (const [index, { channel }] of execs.entries()) channel.end(`line ${index}\n`);
    const found = await Promise.all(ends);
    expect(found.map(({ code }) => code)).toEqual([1, 2, 3]);
    expect(found.map(({ stdout }) => stdout.toString())).toEqual(
      [0, 1, 2].map((index) => `line ${index}\n`),
    );
  });

  it("carries as many as its limit, and the next after the end of one", async () => {
    await using small = new ExecBench({ limits: { sshChannels: 2 } });
    const connection = await small.connect();
    const [first, second] = [await connection.exec("cat"), await connection.exec("cat")];
    await expect(connection.exec("true")).rejects.toMatchObject({
      message: expect.stringContaining("too many channels"),
      reason: RESOURCE_SHORTAGE,
    });
    const ends = [first.finished(), second.finished()];
    first.channel.end();
    await ends[0];
    const third = await connection.exec("exit 3");
    await expect(third.finished()).resolves.toMatchObject({ code: 3 });
    second.channel.end("still there");
    expect((await ends[1])?.stdout.toString()).toBe("still there");
  });

  it("keeps its other execs when a channel is closed", async () => {
    const connection = await bench.connect();
    const mark = uniqueSleep();
    const closed = await connection.exec(`sleep ${mark}`);
    const other = await connection.exec("cat");
    const end = other.finished();
    closed.channel.close();
    await until("the closed exec's process has ended", () => pidsOf(mark).length === 0);
    other.channel.end("here");
    expect((await end).stdout.toString()).toBe("here");
  });

  it("gives a login shell, which runs the script of its input", async () => {
    const { client } = await bench.connect();
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      client.shell(false, (error, each) => (error ? reject(error) : resolve(each))),
    );
    const stdout = text(channel);
    channel.end("tr '\\0' ' ' < /proc/$$/cmdline; exit 5");
    const [code] = await once(channel, "exit");
    expect(await stdout).toBe("/bin/sh -l ");
    expect(code).toBe(5);
  });

  it("answers requests that come while a command runs", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec("cat");
    await expect(exec.requestAnother()).resolves.toBe("failure");
  });

  it.each([["subsystem", (client: Client, done: Done) => void client.subsys("unknown", done)]])(
    "gives no %s",
    async (_name, ask) => {
      const { client } = await bench.connect();
      const answer = new Promise<Error | undefined>((resolve) => ask(client, resolve));
      await expect(answer).resolves.toBeInstanceOf(Error);
    },
  );

  it("that does not finish its handshake is ended", async () => {
    await using hasty = new ExecBench({ limits: { sshHandshakeMs: 100 } });
    const { pair } = await hasty.connectSilently();
    await new Promise<void>((resolve) => pair.server.once("close", resolve));
    expect(pair.server.errored).toMatchObject({ kind: "ssh_handshake_failed" });
  });

  it("whose client is silent for longer than the keepalives allow is lost", async () => {
    await using strict = new ExecBench({
      limits: { sshKeepalive: { intervalMs: 50, missed: 2 }, orphanWindowMs: 0 },
    });
    const connection = await strict.connect();
    await connection.exec("sleep 30");
    connection.mute();
    await new Promise<void>((resolve) => connection.pair.server.once("close", resolve));
    expect(connection.pair.server.errored).toMatchObject({ kind: "relay_lost" });
  });
});
