// ExecSandboxInteractive with real programs, in both forms of an exec: input and sizes go to a command while its output comes.
import { createHash, randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { startInteractive } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { within } from "../../src/wait.ts";
import type { InputQueue } from "../../src/input-queue.ts";
import { expectError, expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { InteractiveShell } from "../support/interactive-shell.ts";
import { growthWhile } from "../support/peak-memory.ts";
import type { ShellExecOptions } from "../support/shell-exec.ts";

const MiB = 1024 * 1024;
const manyLines = Buffer.from(`${"x".repeat(99)}\n`.repeat(1_000));
const supervisorArgs = { durable: [], plain: flags({ "exec-form": "plain" }) };
/** A shell that waits like this forks nothing: of a signal that comes while it does, dash hears nothing. */
const waits = "while :; do wait; done";
const tellsSizes = "trap 'stty size' WINCH; sleep 300 &";
const terminal = { request: { tty: true } };

describe.each(["durable", "plain"] as const)("in the %s form", (form) => {
  let deployment: Deployment;
  let client: OpenShellClient;
  beforeAll(async () => {
    deployment = await startDeployment({ proxied: false, supervisorArgs: supervisorArgs[form] });
    client = deployment.client();
  });
  afterAll(() => deployment[Symbol.asyncDispose]());

  const open = (script: string, options: ShellExecOptions = {}): InteractiveShell =>
    new InteractiveShell(client, deployment.supervisor(), script, options);

  describe("input", () => {
    it("is echoed in steps, and its end is the end of input and nothing more", async () => {
      await using exec = open("cat; echo over; sleep 0.3; echo still; exit 7");
      for (const step of ["one\n", "two\n", "three\n"]) {
        exec.input.stdin(step);
        await exec.run.received(step);
      }
      exec.input.end();
      expectExit(await exec.result, 7, "one\ntwo\nthree\nover\nstill\n");
    });

    it("begins with that of the start", async () => {
      await using exec = open("cat", { request: { stdin: Buffer.from("first ") } });
      exec.input.stdin("second");
      await exec.run.received("first second");
      exec.input.end();
      expectExit(await exec.result, 0, "first second");
    });

    it("is read line by line, each answered before the next is sent", async () => {
      const script = 'while read -r line; do echo "got $line"; done; echo end >&2';
      await using exec = open(script);
      for (let at = 0; at < 50; at += 1) {
        exec.input.stdin(`line ${at}\n`);
        await exec.run.received(`got line ${at}\n`);
      }
      exec.input.end();
      const result = await exec.result;
      expectExit(result, 0);
      expect(result.stderr.toString()).toBe("end\n");
    });

    it("of 30 MB comes back whole, in pieces of any size", async () => {
      await using exec = open("cat", { keep: false });
      const hash = createHash("sha256");
      let bytes = 0;
      for (let at = 0; bytes < 30 * MiB; at += 1) {
        const piece = Buffer.alloc(1 + ((at * 7_919) % 300_000), `${at} `);
        hash.update(piece);
        bytes += piece.byteLength;
        exec.input.stdin(piece);
      }
      exec.input.end();
      const result = await exec.result;
      expectExit(result, 0);
      expect(result.totals.stdout).toEqual({ bytes, sha256: hash.digest("hex") });
    });

    it("does not hold up a program that takes one line of it", async () => {
      await using exec = open("head -1; exit 3");
      for (let sent = 0; sent < 20 * MiB; sent += manyLines.byteLength) exec.input.stdin(manyLines);
      expectExit(await exec.result, 3, `${"x".repeat(99)}\n`);
    });

    it("that a program has closed is taken all the same, and dropped", async () => {
      const goOn = `go-on-${randomUUID()}`;
      await using exec = open(`exec 0<&-; until test -e ${goOn}; do sleep 0.05; done; exit 3`);
      for (let sent = 0; sent < 20 * MiB; sent += manyLines.byteLength) exec.input.stdin(manyLines);
      await within("all input to be taken", 20_000, exec.input.flushed());
      await using _ = open(`touch ${goOn}`);
      expectExit(await exec.result, 3, "");
    });

    it("of 50 MB that nobody reads stays with its client, and delays neither output nor end", async () => {
      await using exec = open("echo ready; sleep 3; echo out; exit 5");
      await exec.ready();
      const programs = [deployment.gateway, deployment.supervisor().process];
      const { growthBytes } = await growthWhile(programs, async () => {
        for (let sent = 0; sent < 50 * MiB; sent += MiB) exec.input.stdin(Buffer.alloc(MiB));
        await exec.run.received("out\n");
      });
      for (const bytes of growthBytes) expect(bytes).toBeLessThan(25 * MiB);
      expectExit(await exec.result, 5, "ready\nout\n");
    });

    it("that nobody reads is no hindrance to a cancel", async () => {
      await using exec = open("echo ready; sleep 300 & sleep 300");
      await exec.ready();
      for (let sent = 0; sent < 8 * MiB; sent += MiB) exec.input.stdin(Buffer.alloc(MiB));
      await exec.hasProcesses(3);
      exec.run.cancel();
      await exec.noneLeft();
      expect((await exec.result).code).toBe(Code.Canceled);
    });
  });

  describe("a client that goes away", () => {
    it("cancels: the whole tree is gone, and it never looked like an end of input", async () => {
      await using exec = open("cat; echo over > ended; sleep 300");
      exec.input.stdin("here\n");
      await exec.run.received("here\n");
      exec.run.cancel();
      await exec.noneLeft();
      await using look = open("test -e ended && echo ended || echo canceled");
      expectExit(await look.result, 0, "canceled\n");
    });

    it("after its half-close, too", async () => {
      await using exec = open("cat; echo over; sleep 300");
      exec.input.end();
      await exec.run.received("over\n");
      exec.run.cancel();
      await exec.noneLeft();
      expect((await exec.result).code).toBe(Code.Canceled);
    });
  });

  describe("a terminal", () => {
    it.each([
      ["80 by 24 when no size is given", {}, "24 80"],
      ["as large as was asked for", { cols: 132, rows: 43 }, "43 132"],
    ])("is %s, and has a name", async (_what, size, expected) => {
      await using exec = open('stty size; echo "$TERM"', { request: { tty: true, ...size } });
      expectExit(await exec.result, 0, `${expected}\r\nxterm-256color\r\n`);
    });

    it("tells its program of each new size", async () => {
      await using exec = open(`${tellsSizes} echo ready; ${waits}`, terminal);
      await exec.run.received("ready");
      for (const [cols, rows] of [
        [100, 30],
        [120, 40],
      ] as const) {
        exec.input.resize(cols, rows);
        await exec.run.received(`${rows} ${cols}`);
      }
      expect(exec.run.output().toString()).toBe("ready\r\n30 100\r\n40 120\r\n");
    });

    it("tells it also behind input that nobody reads", async () => {
      await using exec = open(`stty raw -echo; ${tellsSizes} echo ready; ${waits}`, terminal);
      await exec.run.received("ready");
      exec.input.stdin(Buffer.alloc(200_000));
      exec.input.resize(100, 30);
      await exec.run.received("30 100");
      expect(exec.run.output().toString()).toBe("ready\n30 100\n");
    });

    it("passes the end of input on as Ctrl-D", async () => {
      await using exec = open("stty -echo; echo ready; cat; echo over", terminal);
      await exec.run.received("ready");
      exec.input.stdin("line\n");
      await exec.run.received("line");
      exec.input.end();
      expectExit(await exec.result, 0, "ready\r\nline\r\nover\r\n");
    });

    it("makes SIGINT of Ctrl-C", async () => {
      await using exec = open("echo ready; exec cat", terminal);
      await exec.run.received("ready");
      exec.input.stdin(Uint8Array.of(3));
      const result = await exec.result;
      expectExit(result, 130);
      expect(result.exit).toMatchObject({ reason: "signaled", signal: "INT" });
    });
  });

  describe("what is no input", () => {
    const wrong: [string, (input: InputQueue) => void][] = [
      ["a second start", (input) => input.start({ command: ["true"] })],
      ["a size beyond all measure", (input) => input.resize(1_000_000, 1)],
    ];
    it.each(wrong)("%s ends the exec", async (_what, send) => {
      await using exec = open("echo ready; sleep 300", terminal);
      await exec.run.received("ready");
      send(exec.input);
      expect((await exec.result).code).toBe(Code.InvalidArgument);
      await exec.noneLeft();
    });
  });
});

describe("over the wire", () => {
  let deployment: Deployment;
  beforeAll(async () => void (deployment = await startDeployment({ proxied: false })));
  afterAll(() => deployment[Symbol.asyncDispose]());

  const http2 = wireVariants.filter(({ httpVersion }) => httpVersion === "2");
  it.each(http2)("$protocol carries both directions at once", async (variant) => {
    using client = openshellClient(deployment.gatewayUrl, variant);
    await using exec = new InteractiveShell(client, deployment.supervisor(), "cat; exit 4");
    for (const step of ["a", "b", "c"]) {
      exec.input.stdin(step);
      await exec.run.received(step);
    }
    exec.input.end();
    expectExit(await exec.result, 4, "abc");
  });

  it("HTTP/1.1 has no room for it, and says so", async () => {
    using client = openshellClient(deployment.gatewayUrl, {
      protocol: "connect",
      httpVersion: "1.1",
    });
    const { sandboxId } = deployment.supervisor();
    const { run } = startInteractive(client, { sandboxId, command: ["true"] });
    expect(await run.result).toMatchObject({ hung: false, exit: undefined, error: {} });
    expect(deployment.gateway.events("exec.started")).toHaveLength(3);
  });

  it("a stream without a start is refused", async () => {
    const client = deployment.client();
    const { sandboxId } = deployment.supervisor();
    const refusal = async (...messages: Parameters<typeof sent>): Promise<unknown> => {
      try {
        for await (const _ of client.execSandboxInteractive(sent(...messages)));
        return undefined;
      } catch (error) {
        return error;
      }
    };
    async function* sent(...messages: { payload: { case: "stdin"; value: Uint8Array } }[]) {
      yield* messages;
    }
    expect(await refusal()).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "empty stream: expected start message",
    });
    const stdin = { payload: { case: "stdin", value: Buffer.from("x") } } as const;
    expect(await refusal(stdin)).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "first message must be a start payload",
    });
    const { run } = startInteractive(client, { sandboxId, command: [] });
    expectError(await run.result, {
      code: Code.InvalidArgument,
      message: "command is required",
      kind: "invalid_request",
      outcome: "not_started",
      retry: "never",
      ids: [],
    });
  });
});
