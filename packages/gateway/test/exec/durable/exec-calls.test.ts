import { BelayError, ExecState } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { durableScene, endSession, finish, inTime } from "../../support/durable-scene.ts";
import type { DurableScene } from "../../support/durable-scene.ts";
import {
  cancel,
  cutAfter,
  frames,
  get,
  list,
  name,
  resize,
  signal,
  start,
  wait,
} from "../../support/exec-calls.ts";
import { isSettled, rejection, settled } from "@belay/relay-core/testing";

const stays = { command: { stays: true } };

describe("a question about an exec", () => {
  it.each<[string, (scene: DurableScene) => Promise<unknown>]>([
    ["GetExec", get],
    ["ListExecs", list],
    ["ResizeExec", resize],
    ["CancelExec", cancel],
  ])("%s is asked again over the next way", async (_name, ask) => {
    const scene = durableScene(stays);
    await start(scene);
    scene.supervisor.onFrame = (_frame, conversation) => {
      scene.supervisor.onFrame = undefined;
      conversation.cut();
      return true;
    };
    await inTime(scene.clock, ask(scene));
    expect(frames(scene)).toHaveLength(3);
    expect(scene.supervisor.openConversations).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("is answered with the sandbox's own id for it", async () => {
    const scene = durableScene(stays);
    await start(scene);
    expect((await get(scene)).exec).toMatchObject(name);
    expect((await list(scene)).execs).toMatchObject([name]);
  });

  it.each([
    ["GetExec", get],
    ["WaitExec", wait],
    ["SignalExec", signal],
    ["ResizeExec", resize],
  ] as [string, (scene: DurableScene) => Promise<unknown>][])(
    "%s of one that is not known is refused",
    async (_name, ask) => {
      expect(await rejection(ask(durableScene()))).toMatchObject({
        kind: "exec_not_found",
        ids: name,
      });
    },
  );

  it.each([
    ["GetExec", get],
    ["SignalExec", signal],
    ["StartExec", start],
    ["CancelExec", cancel],
  ])("%s is refused where the supervisor has no durable execs", async (_name, ask) => {
    expect(await rejection(ask(durableScene({ features: [] })))).toMatchObject({
      kind: "unimplemented",
      outcome: "not_started",
    });
  });

  it("is not waited for longer than its answer may take", async () => {
    const scene = durableScene(stays, { resumeWindowMs: 0 });
    scene.supervisor.onFrame = () => true;
    const answer = get(scene);
    await scene.clock.advance(9_999);
    expect(await isSettled(answer)).toBe(false);
    await scene.clock.advance(1);
    expect(await rejection(answer)).toMatchObject({ kind: "resume_window_ended", ids: name });
  });

  it("ends when its caller is gone", async () => {
    const scene = durableScene(stays);
    scene.supervisor.onFrame = () => true;
    const answer = get(scene);
    await settled();
    answer.abort.abort(new BelayError("canceled", "gone"));
    expect(await rejection(answer)).toMatchObject({ kind: "canceled" });
    expect(scene.supervisor.openConversations).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("blames the supervisor for an answer to something else", async () => {
    const scene = durableScene(stays);
    scene.supervisor.onFrame = (_frame, conversation) => {
      conversation.answer({ case: "list", value: {} });
      return true;
    };
    expect(await rejection(get(scene))).toMatchObject({
      kind: "internal",
      message: "the supervisor broke the protocol: list answers get",
    });
  });
});

describe("SignalExec", () => {
  it.each(["TERM", "SIGTERM"])("sends %s without SIG", async (text) => {
    const scene = durableScene(stays);
    await start(scene);
    await signal(scene, text);
    expect(frames(scene)[1]).toMatchObject([{ case: "signal", value: { name: "TERM" } }]);
  });

  it.each(["", "SIG", "term", "9", "TERM; rm"])("refuses %j", async (text) => {
    expect(await rejection(signal(durableScene(), text))).toMatchObject({
      kind: "invalid_request",
    });
  });

  it("is sent once, though nobody knows whether it came", async () => {
    const scene = durableScene(stays);
    await start(scene);
    cutAfter(scene, "signal");
    expect(await rejection(inTime(scene.clock, signal(scene)))).toMatchObject({
      kind: "relay_lost",
      outcome: "unknown",
    });
    expect(frames(scene)).toHaveLength(2);
  });

  it("looks for a way as long as it was not sent", async () => {
    const scene = durableScene(stays);
    await start(scene);
    scene.supervisor.onOpen = () => {
      scene.supervisor.onOpen = undefined;
      throw new BelayError("relay_dropped", "relay channel dropped");
    };
    await inTime(scene.clock, signal(scene));
    expect(frames(scene)).toHaveLength(2);
  });
});

describe("ResizeExec", () => {
  it.each([
    [0, 24],
    [80, 0],
    [10_001, 24],
  ])("refuses %i × %i", async (cols, rows) => {
    expect(await rejection(resize(durableScene(), cols, rows))).toMatchObject({
      kind: "invalid_request",
    });
  });
});

describe("WaitExec", () => {
  it.each([
    [0, 30_000n],
    [5_000, 5_000n],
  ])("asks for an answer within %i ms", async (waitMs, limitMs) => {
    const scene = durableScene();
    await start(scene);
    await wait(scene, waitMs);
    expect(frames(scene)[1]).toMatchObject([{ case: "wait", value: { limitMs } }]);
  });

  it("may wait longer than other questions", async () => {
    const scene = durableScene(stays);
    await start(scene);
    const answer = wait(scene, 300_000);
    await scene.clock.advance(309_999);
    expect(await isSettled(answer)).toBe(false);
    finish(scene);
    scene.supervisor.conversations[1]!.answer({ case: "info", value: { execId: "exec-1" } });
    expect((await answer).exec).toMatchObject(name);
  });

  it("asks again for what is left of its time", async () => {
    const scene = durableScene(stays);
    await start(scene);
    const answer = wait(scene, 20_000);
    await scene.clock.advance(15_000);
    endSession(scene);
    await scene.clock.advance(1_000);
    finish(scene);
    scene.sessions.add(scene.supervisor.session());
    await answer;
    expect(frames(scene).slice(1)).toMatchObject([
      [{ case: "wait", value: { limitMs: 20_000n } }],
      [{ case: "wait", value: { limitMs: 4_000n } }],
    ]);
  });

  it("waits five minutes at most", async () => {
    expect(await rejection(wait(durableScene(), 300_001))).toMatchObject({
      kind: "invalid_request",
      message: "wait_ms is at most 300000",
    });
  });
});

describe("CancelExec", () => {
  it("answers with the exec when it is gone", async () => {
    const scene = durableScene(stays);
    await start(scene);
    expect((await cancel(scene)).exec).toMatchObject({ ...name, state: ExecState.ENDED });
  });

  it("answers with nothing for one that is not known, and keeps it from starting", async () => {
    const scene = durableScene(stays);
    expect((await cancel(scene)).exec).toBeUndefined();
    expect(await rejection(start(scene))).toMatchObject({
      kind: "exec_fenced",
      outcome: "not_started",
    });
  });

  it("is unconfirmed when the supervisor does not answer in the time that it takes", async () => {
    const scene = durableScene(stays);
    await start(scene);
    scene.supervisor.onFrame = () => true;
    const answer = cancel(scene);
    await scene.clock.advance(24_999);
    expect(await isSettled(answer)).toBe(false);
    await scene.clock.advance(1);
    expect(await rejection(answer)).toMatchObject({
      kind: "termination_unconfirmed",
      outcome: "running",
    });
  });
});
