import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, ExecState, ExecSpecSchema, StartExecRequestSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { durableScene, endSession, inTime } from "../../support/durable-scene.ts";
import { cutAfter, frames, name, start } from "../../support/exec-calls.ts";
import { rejection, until } from "@belay/relay-core/testing";

const stays = { command: { stays: true } };

describe("StartExec", () => {
  it("answers with the exec, in its sandbox", async () => {
    const scene = durableScene(stays);
    expect(await start(scene)).toMatchObject({
      exec: { sandboxId: "sb-1", execId: "exec-1", state: ExecState.RUNNING },
    });
    const [[payload]] = frames(scene) as [[{ case: string; value: unknown }]];
    expect(payload).toMatchObject({ case: "start", value: { spec: { command: ["run"] } } });
    expect(payload.value).not.toHaveProperty("follow");
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("makes an id where none is given", async () => {
    const scene = durableScene(stays);
    const { exec } = await start(scene, { execId: "" });
    expect(exec?.execId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("runs once though the answer was lost", async () => {
    const scene = durableScene(stays);
    cutAfter(scene, "start");
    await inTime(scene.clock, start(scene));
    expect([scene.supervisor.runs, frames(scene).length]).toEqual([1, 2]);
  });

  it("is sent to no other supervisor", async () => {
    const scene = durableScene(stays);
    cutAfter(scene, "start", endSession);
    const answer = start(scene);
    await until(() => scene.supervisor.runs === 1);
    scene.supervisor.instanceId = "in-2";
    scene.sessions.add(scene.supervisor.session());
    expect(await rejection(inTime(scene.clock, answer))).toMatchObject({
      kind: "exec_lost",
      outcome: "unknown",
      ids: name,
    });
    expect(scene.supervisor.runs).toBe(1);
  });

  it("is sent to the supervisor that is named, and to no other", async () => {
    const scene = durableScene(stays);
    await start(scene, { supervisorInstanceId: "in-1" });
    expect(scene.supervisor.runs).toBe(1);
    const named = start(scene, { execId: "exec-2", supervisorInstanceId: "in-0" });
    expect(await rejection(named)).toMatchObject({ kind: "exec_lost", outcome: "unknown" });
    expect(scene.supervisor.runs).toBe(1);
  });

  it("says what is known when the window ends", async () => {
    const scene = durableScene(stays);
    cutAfter(scene, "start", endSession);
    expect(await rejection(inTime(scene.clock, start(scene)))).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
    });
  });

  it("does not vouch for the first of two starts when the second is refused", async () => {
    const scene = durableScene(stays);
    scene.supervisor.onFrame = (_, conversation) => {
      const isFirst = scene.supervisor.conversations.length === 1;
      if (isFirst) conversation.cut();
      else conversation.fail(new BelayError("limit_exceeded", "too many"));
      return true;
    };
    expect(await rejection(inTime(scene.clock, start(scene)))).toMatchObject({
      kind: "limit_exceeded",
      outcome: "unknown",
    });
  });

  it.each<[string, MessageInitShape<typeof StartExecRequestSchema>, string]>([
    ["no spec", { spec: undefined as never }, "spec is required"],
    ["no command", { spec: create(ExecSpecSchema) }, "command is required"],
    [
      "a bad id",
      { execId: "a/b" },
      "exec_id must be 1 to 128 of letters, digits, '.', '_' and '-'",
    ],
    [
      "NUL",
      { spec: create(ExecSpecSchema, { command: ["a\0"] }) },
      "command[0] contains a NUL byte",
    ],
    [
      "a bad key",
      { spec: create(ExecSpecSchema, { command: ["a"], environment: { "A=": "" } }) },
      "environment keys must match ^[A-Za-z_][A-Za-z0-9_]*$",
    ],
    [
      "a huge terminal",
      { spec: create(ExecSpecSchema, { command: ["a"], terminal: { cols: 10_001 } }) },
      "cols and rows are at most 10000",
    ],
    [
      "NUL in TERM",
      { spec: create(ExecSpecSchema, { command: ["a"], terminal: { term: "\0" } }) },
      "term contains a NUL byte",
    ],
    [
      "a long TERM",
      { spec: create(ExecSpecSchema, { command: ["a"], terminal: { term: "x".repeat(40_000) } }) },
      "term is longer than 32768 bytes",
    ],
  ])("refuses %s before it asks", async (_what, request, message) => {
    const scene = durableScene();
    const error = await rejection(start(scene, request));
    expect(error).toMatchObject({ kind: "invalid_request", message, outcome: "not_started" });
    expect(frames(scene)).toEqual([]);
  });
});
