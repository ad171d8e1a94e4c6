// interactive-durable.test.ts: ExecSandboxInteractive over the durable form: input and sizes as frames, also after a lost way.
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { durableScene, finish, inTime } from "../../support/durable-scene.ts";
import type { DurableScene } from "../../support/durable-scene.ts";
import { startInteractive } from "../../support/interactive-call.ts";
import type { ModelOptions } from "../../support/model-supervisor.ts";
import { settled, until } from "@belay/relay-core/testing";

const stays = { stdout: "so far", stays: true, afterStdin: { stdout: ", over" } };

async function started(
  model: ModelOptions = {},
  request: Parameters<typeof startInteractive>[1] = {},
) {
  const scene = durableScene({ command: stays, ...model });
  const call = startInteractive(scene.deps, request);
  await until(() => call.stdout() === "so far", "its output has come");
  const [exec] = scene.supervisor.execs.values();
  return { scene, call, exec: exec! };
}

/** What came over each conversation after its first frame. */
const sent = ({ supervisor }: DurableScene) =>
  supervisor.conversations.map(({ received }) =>
    received.slice(1).map(({ payload }) => {
      if (payload.case === "resize") return `${payload.value.cols}x${payload.value.rows}`;
      if (payload.case !== "stdin") return payload.case;
      const { offset, data, end } = payload.value;
      return `${offset}:${Buffer.from(data).toString()}${end ? "." : ""}`;
    }),
  );

describe("input of the durable form", () => {
  it("goes in frames as it comes, after that of the start; its end when it is believed", async () => {
    const { scene, call, exec } = await started({}, { stdin: Buffer.from("abc") });
    await until(() => exec.stdin === "abc", "the start's input");
    call.stdin("de");
    await until(() => exec.stdin === "abcde", "more");
    call.frames.end();
    await settled();
    await scene.clock.advance(49);
    expect(exec.stdinEnded).toBe(false);
    await scene.clock.advance(1);
    expect(exec.stdinEnded).toBe(true);
    await until(() => call.stdout() === "so far, over", "output after it");
    expect(sent(scene)).toEqual([["0:abc", "3:de", "5:."]]);
    finish(scene);
    expect(await call.ended).toBeUndefined();
  });

  it("that was not taken is sent again over the next way, and nothing twice", async () => {
    const { scene, call, exec } = await started();
    call.stdin("taken ");
    await until(() => exec.stdin === "taken ", "the first");
    let frames = 0;
    scene.supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "stdin" || (frames += 1) > 1) return false;
      conversation.cut();
      return true;
    };
    call.stdin("lost ");
    await inTime(
      scene.clock,
      until(() => exec.stdin === "taken lost ", "the second"),
    );
    call.stdin("after");
    await inTime(
      scene.clock,
      until(() => exec.stdin === "taken lost after", "the third"),
    );
    expect(sent(scene)).toEqual([
      ["0:taken ", "6:lost "],
      ["6:lost ", "11:after"],
    ]);
    finish(scene);
    expect(await call.ended).toBeUndefined();
  });

  it("written while there is no way goes over the next", async () => {
    const { scene, call, exec } = await started();
    scene.supervisor.conversations[0]!.cut();
    call.stdin("typed");
    call.resize(9, 9);
    await inTime(
      scene.clock,
      until(() => exec.stdin === "typed", "the input"),
    );
    expect(sent(scene)[1]).toEqual(["9x9", "0:typed"]);
    finish(scene);
    expect(await call.ended).toBeUndefined();
  });

  it("that the process does not read waits with the client, and holds up no size", async () => {
    const { scene, call, exec } = await started();
    exec.stdinLimit = 0;
    for (let at = 0; at < 20; at += 1) call.stdin("k");
    await settled();
    call.resize(100, 30);
    for (let at = 0; at < 50; at += 1) call.stdin(Buffer.alloc(1024 * 1024));
    await settled();
    expect(call.frames.waiting).toBe(48);
    const [frames] = sent(scene);
    expect(frames!.filter((frame) => frame !== "100x30").length).toBe(16);
    expect(frames).toContain("100x30");
    finish(scene, " and on");
    expect(await call.ended).toBeUndefined();
    expect(call.stdout()).toBe("so far and on");
    await until(() => call.frames.waiting === 0, "the rest is dropped");
  });

  it("that the process has closed is taken from the client and dropped", async () => {
    const { scene, call, exec } = await started();
    exec.stdinClosed = true;
    for (let at = 0; at < 50; at += 1) call.stdin(Buffer.alloc(1024 * 1024));
    await until(() => call.frames.waiting === 0, "all is taken");
    expect(exec.stdin).toBe("");
    finish(scene);
    expect(await call.ended).toBeUndefined();
  });
});

describe("the terminal of the durable form", () => {
  it("is told the newest size, and again over the next way", async () => {
    const { scene, call } = await started({}, { tty: true, cols: 80, rows: 24 });
    call.resize(90, 25);
    await until(() => sent(scene)[0]!.length === 1, "a size");
    call.resize(100, 30);
    await until(() => sent(scene)[0]!.length === 2, "another");
    scene.supervisor.conversations[0]!.cut();
    await inTime(
      scene.clock,
      until(() => sent(scene)[1]?.length === 1, "the size again"),
    );
    expect(sent(scene)).toEqual([["90x25", "100x30"], ["100x30"]]);
    finish(scene);
    expect(await call.ended).toBeUndefined();
  });
});

describe("a client that goes away", () => {
  it("cancels the exec, and never looked like the end of its input", async () => {
    const { scene, call, exec } = await started();
    call.frames.end();
    await settled();
    await scene.clock.advance(49);
    call.caller.abort(new ConnectError("client", Code.Canceled));
    expect(await call.ended).toMatchObject({ kind: "canceled" });
    await until(() => exec.end !== undefined, "the cancel");
    await call.scope.idle();
    expect([exec.end?.reason, exec.stdinEnded]).toEqual(["canceled", false]);
    expect(scene.supervisor.openConversations).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });
});
