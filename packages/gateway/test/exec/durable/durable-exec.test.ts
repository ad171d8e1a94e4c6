import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, ExecSandboxRequestSchema } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { Handoff, untilAbort } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { ExecInput } from "../../../src/exec/exec-input.ts";
import { runExec } from "../../../src/exec/run-exec.ts";
import { durableScene, endSession, finish, inTime } from "../../support/durable-scene.ts";
import type { DurableScene } from "../../support/durable-scene.ts";
import type { ModelOptions } from "../../support/model-supervisor.ts";
import { isSettled, settled, until } from "@belay/relay-core/testing";
import { never } from "../../support/test-limits.ts";

/** An ExecSandbox call, without the RPC. */
function exec(
  scene: DurableScene,
  request: MessageInitShape<typeof ExecSandboxRequestSchema> = {},
  background = never,
) {
  const abort = new AbortController();
  const handoff = new Handoff<ExecSandboxEvent>();
  const events: ExecSandboxEvent[] = [];
  const full = create(ExecSandboxRequestSchema, {
    sandboxId: "sb-1",
    command: ["run"],
    ...request,
  });
  const input = ExecInput.whole(full.stdin);
  const finished = runExec({ id: "exec-1", request: full, input }, handoff, scene.deps, {
    signal: abort.signal,
    background,
  });
  const ended = (async () => {
    try {
      for await (const event of handoff) events.push(event);
      return undefined;
    } catch (error) {
      return error as BelayError;
    }
  })();
  const text = (stream: "stdout" | "stderr") =>
    events
      .flatMap(({ payload }) =>
        payload.case === stream ? [Buffer.from(payload.value.data).toString()] : [],
      )
      .join("");
  const exit = () => {
    const last = events.at(-1)?.payload;
    return last?.case === "exit" ? last.value : undefined;
  };
  return { abort, finished, ended, text, exit };
}

async function running(options: Partial<ModelOptions> = {}, background = never) {
  const scene = durableScene({ command: { stdout: "so far", stays: true }, ...options });
  const call = exec(scene, {}, background);
  await until(() => call.text("stdout") === "so far", "its output has come");
  return { scene, call };
}

const frames = ({ supervisor }: DurableScene) =>
  supervisor.conversations.map(({ received }) =>
    received.map(({ payload }) => payload.case).join(" "),
  );

const canceled = () => new BelayError("canceled", "the caller canceled or is gone");

describe("ExecSandbox on a supervisor with durable execs", () => {
  it("gives the output, then the exit with what the streams carried", async () => {
    const scene = durableScene({
      command: { stdout: "out", stderr: "err", afterStdin: { stdout: "!" } },
    });
    const call = exec(scene, { stdin: Buffer.from("input") });
    expect(await call.ended).toBeUndefined();
    await call.finished;
    expect([call.text("stdout"), call.text("stderr")]).toEqual(["out!", "err"]);
    expect(scene.supervisor.execs.get("exec-1")!.stdin).toBe("input");
    expect(call.exit()).toMatchObject({
      exitCode: 0,
      reason: "exited",
      execId: "exec-1",
      outputIncomplete: false,
      stdout: { bytes: 4n },
      stderr: { bytes: 3n },
    });
    expect(scene.lines.map(({ event }) => event)).toEqual(["exec.started", "exec.ended"]);
    expect(await scene.deps.metrics.text()).toContain('belay_execs_total{result="exited"} 1');
    expect(await scene.deps.metrics.text()).toContain('output_bytes_total{stream="stdout"} 4');
  });

  it("asks for what the request says", async () => {
    const scene = durableScene();
    const request = {
      command: ["run", "-x"],
      workdir: "/w",
      environment: { A: "1" },
      timeoutSeconds: 7,
      tty: true,
      cols: 100,
      rows: 30,
    };
    await exec(scene, request).finished;
    const [start] = scene.supervisor.conversations[0]!.received;
    expect(start).toMatchObject({
      execId: "exec-1",
      payload: {
        value: {
          spec: {
            command: ["run", "-x"],
            workdir: "/w",
            environment: { A: "1" },
            timeoutMs: 7_000n,
            terminal: { cols: 100, rows: 30 },
            detached: false,
            stdin: true,
          },
          follow: { holdsLog: true, noWait: false },
        },
      },
    });
  });

  it("has no terminal unless it is asked for", async () => {
    const scene = durableScene();
    await exec(scene, { cols: 100, rows: 30 }).finished;
    const { payload } = scene.supervisor.conversations[0]!.received[0]!;
    expect(payload.case === "start" && payload.value.spec?.terminal).toBeUndefined();
  });

  it("is a pause where the supervisor was away", async () => {
    const { scene, call } = await running();
    endSession(scene);
    await scene.clock.advance(5_000);
    scene.sessions.add(scene.supervisor.session());
    await settled();
    finish(scene, ", and more");
    expect(await call.ended).toBeUndefined();
    expect(call.text("stdout")).toBe("so far, and more");
    expect(frames(scene)).toEqual(["start stdin", "follow"]);
  });

  it("ends a timeout with 124 and no signal", async () => {
    const { scene, call } = await running();
    scene.supervisor.execs.get("exec-1")!.end = { reason: "timed_out", exitCode: 143 };
    scene.supervisor.wake();
    expect(await call.ended).toBeUndefined();
    expect(call.exit()).toMatchObject({ exitCode: 124, reason: "timed_out", signal: "" });
  });

  it("says that output is missing when the log has dropped some", async () => {
    const { scene, call } = await running();
    const model = scene.supervisor.execs.get("exec-1")!;
    model.log.stdout += "0123456789";
    model.dropped.stdout = 10;
    finish(scene);
    expect(await call.ended).toBeUndefined();
    expect(call.text("stdout")).toBe("so far456789");
    expect(call.exit()).toMatchObject({ outputIncomplete: true, stdout: { bytes: 16n } });
  });

  it.each([
    ["canceled", "canceled"],
    ["lost", "exec_lost"],
    ["abducted", "internal"],
  ])("has no exit for one that is %s, but an error", async (reason, kind) => {
    const { scene, call } = await running();
    finish(scene, "", reason);
    expect(await call.ended).toMatchObject({ kind, outcome: "completed" });
    expect(call.exit()).toBeUndefined();
  });

  it("waits for the sandbox's first session", async () => {
    const scene = durableScene();
    endSession(scene);
    const call = exec(scene);
    await scene.clock.advance(15_000);
    expect(await call.ended).toMatchObject({
      kind: "session_wait_timeout",
      outcome: "not_started",
      ids: { execId: "exec-1", sandboxId: "sb-1" },
    });
  });

  it("tells the exec's id when the way does not come back", async () => {
    const { scene, call } = await running();
    endSession(scene);
    await scene.clock.advance(30_000);
    expect(await call.ended).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
      retry: "follow",
      ids: { execId: "exec-1" },
    });
    await call.finished;
    expect(frames(scene)).toEqual(["start stdin"]);
    expect(await scene.deps.metrics.text()).toContain('{result="resume_window_ended"} 1');
  });
});

describe("a client of ExecSandbox that is gone", () => {
  it("hears first, then its exec is canceled", async () => {
    const { scene, call } = await running();
    scene.supervisor.onFrame = ({ payload }) => payload.case === "cancel"; // it takes a while
    call.abort.abort(canceled());
    expect(await call.ended).toMatchObject({ kind: "canceled", outcome: "unknown" });
    await until(() => frames(scene).length === 2, "cancel was sent");
    expect(await isSettled(call.finished)).toBe(false);
    scene.supervisor.conversations[1]!.answer({ case: "info", value: { execId: "exec-1" } });
    await call.finished;
    expect(frames(scene)).toEqual(["start stdin", "cancel"]);
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("has its exec canceled though the supervisor is away, as soon as that is back", async () => {
    const { scene, call } = await running();
    endSession(scene);
    await settled();
    call.abort.abort(canceled());
    expect(await call.ended).toMatchObject({ kind: "canceled" });
    await scene.clock.advance(10_000);
    scene.sessions.add(scene.supervisor.session());
    await inTime(scene.clock, call.finished);
    expect(frames(scene).at(-1)).toBe("cancel");
    expect(scene.supervisor.execs.get("exec-1")!.end?.reason).toBe("canceled");
  });

  it("has its exec canceled over a second way, when the first is lost", async () => {
    const { scene, call } = await running();
    scene.supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "cancel") return false;
      conversation.cut();
      scene.supervisor.onFrame = undefined;
      return true;
    };
    call.abort.abort(canceled());
    await inTime(scene.clock, call.finished);
    expect(frames(scene)).toEqual(["start stdin", "cancel", "cancel"]);
  });

  it("is cleaned up after in bounded time", async () => {
    const { scene, call } = await running();
    scene.supervisor.onFrame = () => true;
    call.abort.abort(canceled());
    await scene.clock.advance(24_999);
    expect(await isSettled(call.finished)).toBe(false);
    await scene.clock.advance(1);
    await call.finished;
    expect(scene.lines.at(-2)).toMatchObject({
      event: "exec.cancel_failed",
      fields: { execId: "exec-1", err: { kind: "termination_unconfirmed" } },
    });
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("is cleaned up after no longer than the gateway is there", async () => {
    const background = new AbortController();
    const { scene, call } = await running({}, background.signal);
    scene.supervisor.onFrame = () => true;
    call.abort.abort(canceled());
    await settled();
    background.abort(new Error("gateway ended"));
    await call.finished;
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("cancels nothing that was never sent", async () => {
    const scene = durableScene();
    scene.supervisor.onOpen = (signal) => untilAbort(new Promise(() => {}), signal);
    const call = exec(scene);
    await settled();
    call.abort.abort(canceled());
    expect(await call.ended).toMatchObject({ kind: "canceled", outcome: "not_started" });
    await call.finished;
    expect(scene.supervisor.runs).toBe(0);
    expect(frames(scene).join("")).toBe("");
  });

  it("takes no exec along when it is the gateway that stops", async () => {
    const { scene, call } = await running();
    call.abort.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await call.ended).toMatchObject({
      kind: "gateway_stopping",
      outcome: "running",
      ids: { execId: "exec-1" },
    });
    await call.finished;
    expect(frames(scene)).toEqual(["start stdin"]);
  });

  it("that reads slowly slows the exec, and nothing else", async () => {
    const scene = durableScene({ command: { stdout: "0123456789" }, chunkBytes: 1 });
    const handoff = new Handoff<ExecSandboxEvent>();
    const request = create(ExecSandboxRequestSchema, { sandboxId: "sb-1", command: ["run"] });
    const input = ExecInput.whole(request.stdin);
    const finished = runExec({ id: "exec-1", request, input }, handoff, scene.deps, {
      signal: never,
      background: never,
    });
    await settled();
    expect(scene.supervisor.carried).toBeLessThan(10);
    let read = 0;
    for await (const _ of handoff) read += 1;
    expect(read).toBe(11);
    await finished;
  });
});
