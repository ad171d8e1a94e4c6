// terminal.test.ts: commands on a terminal.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PseudoTtyOptions } from "ssh2";
import { ExecBench } from "./support/exec-bench.ts";
import { setTimeout as aWhile } from "node:timers/promises";
import { until } from "./support/until.ts";

let bench: ExecBench;

beforeEach(() => {
  bench = new ExecBench();
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

const pty: PseudoTtyOptions = { cols: 100, rows: 30, term: "xterm-256color" };

describe("a command on a terminal", () => {
  it("has one, of the size and kind that was asked for", async () => {
    const end = await bench.run("test -t 0 && test -t 1 && test -t 2 && stty size; echo $TERM", {
      pty,
    });
    expect(end).toMatchObject({ code: 0, eof: true });
    expect(end.stdout.toString()).toBe("30 100\r\nxterm-256color\r\n");
    expect(end.stderr).toHaveLength(0);
  });

  it("has 80 x 24 when the client does not know its size", async () => {
    const end = await bench.run("stty size", { pty: { cols: 0, rows: 0 } });
    expect(end.stdout.toString()).toBe("24 80\r\n");
  });

  it("hears of a new size, and a size after its end does no harm", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec(
      `trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.02; done`,
      { pty },
    );
    const finished = exec.finished();
    await new Promise<void>((resolve) => exec.channel.once("data", () => resolve()));
    exec.channel.setWindow(50, 132, 0, 0);
    const end = await finished;
    expect(end.code).toBe(3);
    expect(end.stdout.toString()).toContain("50 132\r\n");
    exec.channel.setWindow(51, 133, 0, 0);
  });

  it.each([
    ["exit 7", { code: 7, signal: undefined }],
    ["kill -KILL $$", { code: undefined, signal: "SIGKILL" }],
    ["belay-no-such-command", { code: 127, signal: undefined }],
  ])("%s ends as it ends", async (command, expected) => {
    await expect(bench.run(command, { pty })).resolves.toMatchObject({ ...expected, eof: true });
  });

  it.each([3_002, 6_000_000])(
    "loses none of %i bytes to a reader that pauses beyond its end",
    async (bytes) => {
      const connection = await bench.connect();
      const exec = await connection.exec(
        `head -c ${bytes - 6} /dev/zero | tr '\\0' a; echo tail; exit 3`,
        { pty },
      );
      exec.channel.pause();
      await aWhile(500); // node-pty's own patience ends 200 ms after the exit
      const end = await exec.finished();
      expect(end).toMatchObject({ code: 3, eof: true });
      expect(end.stdout).toHaveLength(bytes);
      expect(end.stdout.subarray(-6).toString()).toBe("tail\r\n");
    },
  );

  it("sees the end of its input, also in the middle of a line", async () => {
    for (const stdin of ["", "line\n", "no newline"]) {
      const end = await bench.run("stty -echo; cat; exit 5", { pty, stdin });
      expect(end.code).toBe(5);
      expect(end.stdout.toString()).toContain(stdin.trim());
    }
  });

  it("that does not read its input stops nobody else", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec("stty raw -echo; echo ready; sleep 30", { pty });
    await new Promise<void>((resolve) => exec.channel.once("data", () => resolve()));
    exec.channel.write(Buffer.alloc(1024 * 1024, "x"));
    await expect(bench.run("echo alive")).resolves.toMatchObject({ code: 0 });
    exec.signal("KILL");
    await expect(exec.finished()).resolves.toMatchObject({ signal: "SIGKILL" });
  });

  it("ends although a grandchild holds the terminal", async () => {
    const end = await bench.run("trap '' HUP; sleep 8 & echo out; exit 4", { pty });
    expect(end).toMatchObject({ code: 4, eof: false });
    expect(end.stdout.toString()).toBe("out\r\n");
  });

  it("is ended with the jobs of its shell, which have groups of their own", async () => {
    const connection = await bench.connect();
    const exec = await connection.exec("set -m; sleep 3999.5 & sleep 3999.5", { pty });
    exec.channel.resume();
    await until("a job", () => bench.execs.size === 1);
    exec.channel.close();
    await until("the exec is over", () => bench.execs.size === 0);
    expect(bench.log.events("exec.kill_outlived")).toEqual([]);
  });
});
