import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, ExecService } from "@belay/protocol";
import type { FollowExecEvent } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { followExec } from "../../../src/exec/durable/follow-exec.ts";
import { durableScene, endSession, finish } from "../../support/durable-scene.ts";
import { start } from "../../support/exec-calls.ts";
import type { ModelOptions } from "../../support/model-supervisor.ts";
import { rejection, settled, until } from "@belay/relay-core/testing";
import { never } from "../../support/test-limits.ts";

const RequestSchema = ExecService.method.followExec.input;

/** An exec that has been started, and a client that follows it. */
async function followScene(
  options: ModelOptions = { command: { stdout: "so far", stays: true } },
  request: MessageInitShape<typeof RequestSchema> = {},
) {
  const scene = durableScene(options);
  await start(scene);
  const scope = new TaskScope("test", { signal: never });
  const [caller, stopping] = [new AbortController(), new AbortController()];
  let admitted = 0;
  const admit = () => {
    admitted += 1;
    return { [Symbol.dispose]: () => void (admitted -= 1) };
  };
  const generator = followExec(
    create(RequestSchema, { sandboxId: "sb-1", execId: "exec-1", ...request }),
    { ...scene.deps, scope, stopping: stopping.signal },
    { signal: caller.signal, admit },
  );
  return { ...scene, scope, caller, stopping, generator, admitted: () => admitted };
}

/** Reads on as events come. */
function read(generator: AsyncIterable<FollowExecEvent>) {
  const events: FollowExecEvent[] = [];
  const ended = (async () => {
    for await (const event of generator) events.push(event);
  })();
  ended.catch(() => {});
  const cases = () => events.map(({ payload }) => payload.case);
  const text = () =>
    events
      .map(({ payload }) =>
        payload.case === "output" ? Buffer.from(payload.value.data).toString() : "",
      )
      .join("");
  return { events, ended, cases, text };
}

describe("FollowExec", () => {
  it("gives info, the output from the offset on, and the exit", async () => {
    const scene = await followScene({ command: { stdout: "0123456789" } }, { stdoutOffset: 4n });
    const { events, ended, cases, text } = read(scene.generator);
    await ended;
    expect(cases()).toEqual(["info", "output", "output", "exit"]);
    expect(text()).toBe("456789");
    expect(events[0]!.payload.value).toMatchObject({ sandboxId: "sb-1", execId: "exec-1" });
    expect(events[1]!.payload.value).toMatchObject({ offset: 4n });
    await scene.scope.idle();
    expect([scene.admitted(), scene.clock.pendingTimers]).toEqual([0, 0]);
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("leaves it to others to hold the log", async () => {
    const scene = await followScene({ command: {} });
    await read(scene.generator).ended;
    expect(scene.supervisor.conversations[1]!.received).toMatchObject([
      { payload: { case: "follow", value: { holdsLog: false } } },
    ]);
  });

  it("ends after what there is, where no more is wanted", async () => {
    const scene = await followScene(undefined, { noWait: true });
    const { ended, cases, text } = read(scene.generator);
    await ended;
    expect([text(), cases().at(-1)]).toEqual(["so far", "endOfLog"]);
  });

  it("tells what was dropped", async () => {
    const scene = await followScene();
    scene.supervisor.execs.get("exec-1")!.dropped.stdout = 3;
    const { events, text } = read(scene.generator);
    await until(() => text() === "far");
    expect(events[1]!.payload).toMatchObject({
      case: "dropped",
      value: { fromOffset: 0n, toOffset: 3n },
    });
  });

  it("pauses while the way is lost", async () => {
    const scene = await followScene();
    const { ended, cases, text } = read(scene.generator);
    await until(() => text() === "so far");
    endSession(scene);
    await scene.clock.advance(10_000);
    scene.sessions.add(scene.supervisor.session());
    await settled();
    finish(scene, ", and more");
    await ended;
    expect(text()).toBe("so far, and more");
    expect(cases().filter((name) => name === "info")).toHaveLength(1);
  });

  it("says so when there is nothing to say, also while the way is lost", async () => {
    const scene = await followScene();
    const { cases, text } = read(scene.generator);
    await until(() => text() === "so far");
    await scene.clock.advance(14_999);
    expect(cases()).not.toContain("keepalive");
    await scene.clock.advance(1);
    expect(cases().at(-1)).toBe("keepalive");
    endSession(scene);
    await scene.clock.advance(15_000);
    expect(cases().filter((name) => name === "keepalive")).toHaveLength(2);
  });

  it("says nothing of the kind after another event", async () => {
    const scene = await followScene(undefined, { keepaliveIntervalMs: 1_000 });
    const { cases, text } = read(scene.generator);
    await until(() => text() === "so far");
    for (let second = 0; second < 5; second += 1) {
      await scene.clock.advance(999);
      scene.supervisor.execs.get("exec-1")!.log.stdout += "x";
      scene.supervisor.wake();
      await settled();
    }
    expect(cases()).not.toContain("keepalive");
  });

  it("piles up no keepalives for a client that does not read", async () => {
    const scene = await followScene(undefined, { keepaliveIntervalMs: 1_000 });
    const first = await scene.generator.next();
    expect(first.value?.payload.case).toBe("info");
    await scene.clock.advance(60_000);
    const { cases, text } = read(scene.generator);
    await until(() => text() === "so far");
    expect(cases()).not.toContain("keepalive");
  });

  it("says nothing before info", async () => {
    const scene = await followScene();
    endSession(scene);
    const { cases } = read(scene.generator);
    await scene.clock.advance(14_999);
    expect(cases()).toEqual([]);
  });

  it.each([1, 999, 300_001])("refuses a keepalive interval of %i", async (keepaliveIntervalMs) => {
    const scene = await followScene(undefined, { keepaliveIntervalMs });
    expect(await rejection(scene.generator.next())).toMatchObject({
      kind: "invalid_request",
      message: "keepalive_interval_ms is 0, or from 1000 to 300000",
    });
    expect(scene.admitted()).toBe(0);
  });

  it("refuses a bad id", async () => {
    const scene = await followScene(undefined, { execId: "a b" });
    expect(await rejection(scene.generator.next())).toMatchObject({ kind: "invalid_request" });
  });

  it("detaches when its client goes, and cancels nothing, though nobody resumes the reader", async () => {
    const scene = await followScene();
    await scene.generator.next(); // and never another: a dead stream's generator is parked
    expect(scene.admitted()).toBe(1);
    scene.caller.abort(new ConnectError("gone", Code.Canceled));
    await scene.scope.idle();
    expect([scene.admitted(), scene.clock.pendingTimers]).toEqual([0, 0]);
    expect(scene.supervisor.openConversations).toBe(0);
    const asked = scene.supervisor.conversations.flatMap(({ received }) => received);
    expect(asked.map(({ payload }) => payload.case)).toEqual(["start", "follow"]);
  });

  it("ends with the gateway's reason when that stops", async () => {
    const scene = await followScene();
    const { ended, text } = read(scene.generator);
    await until(() => text() === "so far");
    scene.stopping.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await rejection(ended)).toMatchObject({
      kind: "gateway_stopping",
      outcome: "running",
      ids: { sandboxId: "sb-1", execId: "exec-1" },
    });
  });

  it("fails with what the supervisor says", async () => {
    const scene = await followScene(undefined, { execId: "exec-2" });
    expect(await rejection(read(scene.generator).ended)).toMatchObject({
      kind: "exec_not_found",
      ids: { sandboxId: "sb-1", execId: "exec-2" },
    });
  });

  it("counts what it passes on", async () => {
    const scene = await followScene({ command: { stdout: "0123456789", stderr: "abc" } });
    await read(scene.generator).ended;
    const metrics = await scene.deps.metrics.text();
    expect(metrics).toContain('belay_output_bytes_total{stream="stdout"} 10');
    expect(metrics).toContain('belay_output_bytes_total{stream="stderr"} 3');
  });
});
