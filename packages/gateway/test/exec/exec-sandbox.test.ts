import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, ExecSandboxRequestSchema } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { ExecAdmission } from "../../src/exec/exec-admission.ts";
import { execSandbox } from "../../src/exec/exec-sandbox.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { execScene } from "../support/exec-scene.ts";
import { abortListeners } from "../support/abort-listeners.ts";
import { rejection, settled, until } from "@belay/relay-core/testing";

function rpcScene() {
  const scene = execScene();
  const admission = new ExecAdmission(scene.deps.limits);
  const stopping = new AbortController();
  const caller = new AbortController();
  const scope = new TaskScope("test", { signal: new AbortController().signal });
  const store = {
    findById: (id: string) => Promise.resolve(id === "sb-1" ? { id, name: id } : undefined),
  } as unknown as SandboxStore;
  const deps = { ...scene.deps, store, admission, scope, stopping: stopping.signal };
  const responseHeader = new Headers();
  const call = (request: MessageInitShape<typeof ExecSandboxRequestSchema> = {}) =>
    execSandbox(
      create(ExecSandboxRequestSchema, { sandboxId: "sb-1", command: ["true"], ...request }),
      deps,
      { signal: caller.signal, responseHeader },
    );
  return { ...scene, admission, stopping, caller, scope, responseHeader, call };
}

async function readAll(events: AsyncIterable<ExecSandboxEvent>): Promise<ExecSandboxEvent[]> {
  const all: ExecSandboxEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe("ExecSandbox", () => {
  it("refuses a bad request and an unknown sandbox before anything is opened", async () => {
    const { call, supervisor, admission } = rpcScene();
    await expect(readAll(call({ command: [] }))).rejects.toThrow("command is required");
    await expect(readAll(call({ sandboxId: "sb-2" }))).rejects.toMatchObject({
      kind: "sandbox_not_found",
      message: "sandbox not found",
    });
    expect(supervisor.received).toEqual([]);
    expect(admission.running).toBe(0);
  });

  it("counts the exec while it runs, and leaves no listener behind", async () => {
    const { call, supervisor, admission, caller, stopping, responseHeader } = rpcScene();
    const events = readAll(call());
    await until(() => supervisor.commands.length === 1);
    expect(admission.running).toBe(1);
    const [command] = supervisor.commands;
    command!.channel.exit(0);
    command!.channel.end();
    const [exit] = await events;
    expect(exit?.payload.case).toBe("exit");
    expect(exit?.payload.value).toMatchObject({ execId: responseHeader.get("belay-exec-id") });
    await settled();
    expect(admission.running).toBe(0);
    expect(abortListeners(caller.signal) + abortListeners(stopping.signal)).toBe(0);
  });

  it.each([
    ["a cancel", new ConnectError("client", Code.Canceled), "canceled"],
    ["a lost connection", new Error("read ECONNRESET"), "canceled"],
    ["a passed deadline", new ConnectError("late", Code.DeadlineExceeded), "deadline_exceeded"],
  ])("takes %s of the caller to the command", async (_what, reason, kind) => {
    const { call, supervisor, caller, scope } = rpcScene();
    const end = rejection(readAll(call()));
    await until(() => supervisor.commands.length === 1);
    await settled();
    caller.abort(reason);
    expect(await end).toMatchObject({ kind, outcome: "unknown" });
    const [command] = supervisor.commands;
    await until(() => command!.signals.length === 1, "TERM has arrived");
    command!.channel.end();
    await scope.idle();
  });

  it("ends the command though nobody resumes the reader: a dead stream's generator is parked", async () => {
    const { call, supervisor, caller, scope, admission } = rpcScene();
    const events = call();
    const first = events.next();
    await until(() => supervisor.commands.length === 1);
    const [command] = supervisor.commands;
    command!.channel.write("first");
    await first; // and never another next()
    caller.abort(new ConnectError("gone", Code.Canceled));
    await until(() => command!.signals.length === 1, "TERM has arrived");
    command!.channel.exit(0);
    command!.channel.end();
    await scope.idle();
    expect(admission.running).toBe(0);
  });

  it("ends with the gateway's reason when that stops", async () => {
    const { call, supervisor, stopping, scope } = rpcScene();
    const end = rejection(readAll(call()));
    await until(() => supervisor.commands.length === 1);
    await settled();
    stopping.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await end).toMatchObject({ kind: "gateway_stopping", outcome: "running" });
    await scope.idle();
  });

  it("does not start for a caller that is gone already", async () => {
    const { call, supervisor, caller } = rpcScene();
    caller.abort(new ConnectError("gone", Code.Canceled));
    await expect(readAll(call())).rejects.toMatchObject({
      kind: "canceled",
      outcome: "not_started",
    });
    expect(supervisor.received).toEqual([]);
  });
});
