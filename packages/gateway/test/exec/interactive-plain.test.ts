// interactive-plain.test.ts: ExecSandboxInteractive over the plain form, and what both forms share: how the client's stream is read.
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { execScene } from "../support/exec-scene.ts";
import type { FakeCommand } from "../support/fake-supervisor.ts";
import { callInteractive, startInteractive } from "../support/interactive-call.ts";
import { isSettled, settled, until } from "@belay/relay-core/testing";

const MiB = 1024 * 1024;

async function started(...[request]: [Parameters<typeof startInteractive>[1]?]) {
  const sizes: [number, number][] = [];
  const scene = execScene({ onResize: (size) => sizes.push(size) });
  const call = startInteractive(scene.deps, request);
  await until(() => scene.supervisor.commands.length === 1, "the command has started");
  const command = scene.supervisor.commands[0]!;
  return { ...scene, call, command, sizes };
}

function readAll({ channel }: FakeCommand) {
  const read = { text: "", ended: false };
  channel.on("data", (data: Buffer) => (read.text += data.toString("latin1")));
  channel.on("end", () => (read.ended = true));
  return read;
}

function exits(code: number, { channel }: FakeCommand): void {
  channel.exit(code);
  channel.end();
}

describe("the client's stream", () => {
  it("that ends without a message is refused", async () => {
    const call = callInteractive(execScene().deps);
    call.frames.end();
    expect(await call.ended).toMatchObject({
      kind: "protocol_violation",
      message: "empty stream: expected start message",
    });
  });

  it.each([
    ["stdin", { case: "stdin", value: Buffer.from("x") } as const],
    ["resize", { case: "resize", value: { cols: 1, rows: 1 } } as const],
  ])("that begins with %s is refused", async (_what, payload) => {
    const call = callInteractive(execScene().deps);
    call.send(payload);
    expect(await call.ended).toMatchObject({
      kind: "protocol_violation",
      message: "first message must be a start payload",
    });
  });

  it("has its first message awaited no longer than the limit", async () => {
    const { deps, clock } = execScene({}, { limits: { firstMessageMs: 1_000 } });
    const call = callInteractive(deps);
    await clock.advance(999);
    expect(await isSettled(call.ended)).toBe(false);
    await clock.advance(1);
    expect(await call.ended).toMatchObject({ kind: "protocol_violation" });
  });

  it("is refused before anything is opened when its start is not good", async () => {
    const { deps, supervisor } = execScene();
    const [bad, unknown] = [
      startInteractive(deps, { command: [] }),
      startInteractive(deps, { sandboxId: "sb-2" }),
    ];
    expect(await bad.ended).toMatchObject({ message: "command is required" });
    expect(await unknown.ended).toMatchObject({ kind: "sandbox_not_found" });
    expect(supervisor.received).toEqual([]);
  });

  it.each([
    ["a second start", { case: "start", value: {} } as const, "protocol_violation"],
    ["nothing", { case: undefined } as const, "protocol_violation"],
    [
      "a size too large",
      { case: "resize", value: { cols: 10_001, rows: 1 } } as const,
      "invalid_request",
    ],
  ])("with %s in it ends the command", async (_what, payload, kind) => {
    const { call, command } = await started();
    call.send(payload as never);
    expect(await call.ended).toMatchObject({ kind });
    await until(() => command.signals.includes("TERM"), "TERM has arrived");
    exits(143, command);
    await call.scope.idle();
    expect(call.admission.running).toBe(0);
  });

  it("that breaks ends the command", async () => {
    const { call, command } = await started();
    call.frames.fail(new ConnectError("too large", Code.ResourceExhausted));
    expect(await call.ended).toMatchObject({ kind: "limit_exceeded" });
    await until(() => command.signals.includes("TERM"), "TERM has arrived");
    exits(143, command);
    await call.scope.idle();
  });

  it("is read on after the exit, so that who writes before it reads gets there; not for ever", async () => {
    const { call, command, clock } = await started();
    exits(0, command);
    expect(await call.ended).toBeUndefined();
    for (let sent = 0; sent < 50; sent += 1) call.stdin(Buffer.alloc(MiB));
    await until(() => call.frames.waiting === 0, "all has been read");
    expect(call.admission.running).toBe(0);
    const over = call.scope.idle();
    await clock.advance(9_999);
    expect(await isSettled(over)).toBe(false);
    await clock.advance(1);
    await over;
  });
});

describe("the end of the client's stream", () => {
  it("is the end of input, once no reset has followed it, and nothing more", async () => {
    const { call, command, clock } = await started();
    const read = readAll(command);
    call.frames.end();
    await settled();
    await clock.advance(49);
    expect(read.ended).toBe(false);
    await clock.advance(1);
    await until(() => read.ended, "the end of input");
    command.channel.write("still here");
    await until(() => call.stdout() === "still here", "output after it");
    exits(3, command);
    expect(await call.ended).toBeUndefined();
    expect(call.exit()).toMatchObject({ exitCode: 3 });
    await call.scope.idle();
  });

  it("is none when its client gives up: a cancel, with no end of input before it", async () => {
    const { call, command, clock } = await started();
    const read = readAll(command);
    call.frames.end();
    await settled();
    await clock.advance(40);
    call.caller.abort(new ConnectError("client", Code.Canceled));
    expect(await call.ended).toMatchObject({ kind: "canceled" });
    await until(() => command.signals.includes("TERM"), "TERM has arrived");
    await clock.advance(1_000);
    expect(read.ended).toBe(false);
    exits(143, command);
    await call.scope.idle();
  });
});

describe("input of the plain form", () => {
  it("goes to the command as it comes, after that of the start", async () => {
    const { call, command } = await started({ stdin: Buffer.from("first ") });
    const read = readAll(command);
    await until(() => read.text === "first ", "the start's input");
    for (const step of ["a", "b", "c"]) {
      const before = read.text;
      call.stdin(step);
      await until(() => read.text === before + step, step);
    }
    exits(0, command);
    expect(await call.ended).toBeUndefined();
  });

  it("that the command does not read waits with the client, and holds up nothing", async () => {
    const { call, command, sizes } = await started({ tty: true });
    for (let sent = 0; sent < 3; sent += 1) call.stdin(Buffer.alloc(MiB));
    await settled();
    call.resize(100, 30);
    await until(() => sizes.length === 1, "the size");
    for (let sent = 0; sent < 47; sent += 1) call.stdin(Buffer.alloc(MiB));
    await settled();
    expect(call.frames.waiting).toBeGreaterThan(40);
    command.channel.write("output");
    await until(() => call.stdout() === "output", "output");
    exits(5, command);
    command.channel.resume();
    expect(await call.ended).toBeUndefined();
    expect(call.exit()).toMatchObject({ exitCode: 5 });
  });

  it("that the command does not read is no hindrance to a cancel", async () => {
    const { call, command } = await started();
    for (let sent = 0; sent < 10; sent += 1) call.stdin(Buffer.alloc(MiB));
    await settled();
    call.caller.abort(new ConnectError("client", Code.Canceled));
    expect(await call.ended).toMatchObject({ kind: "canceled" });
    await until(() => command.signals.includes("TERM"), "TERM has arrived");
    exits(143, command);
    command.channel.resume();
    await call.scope.idle();
  });
});

describe("the terminal of the plain form", () => {
  it("is told each size, with 0 for what the client does not know", async () => {
    const { call, command, sizes } = await started({ tty: true });
    expect(command.pty).toEqual({ cols: 80, rows: 24 });
    call.resize(100, 30);
    await until(() => sizes.length === 1, "the first size");
    call.resize(0, 40);
    await until(() => sizes.length === 2, "the second size");
    expect(sizes).toEqual([
      [100, 30],
      [0, 40],
    ]);
    exits(0, command);
    expect(await call.ended).toBeUndefined();
  });
});
