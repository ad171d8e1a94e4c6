import { ExecService } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { writeStdin } from "../../../src/exec/durable/write-stdin.ts";
import { durableScene, follow, inTime } from "../../support/durable-scene.ts";
import type { DurableScene } from "../../support/durable-scene.ts";
import { call, name, frames, start, write } from "../../support/exec-calls.ts";
import { isSettled, rejection } from "@belay/relay-core/testing";

describe("WriteStdin", () => {
  const reads = { command: { afterStdin: { stdout: "done" }, stays: true } };
  const stdinFrames = (scene: DurableScene) =>
    frames(scene).map((payloads) =>
      payloads.flatMap((payload) =>
        payload.case === "stdin"
          ? [[Number(payload.value.offset), payload.value.data.byteLength, payload.value.end]]
          : [],
      ),
    );

  async function started(options = reads) {
    const scene = durableScene(options);
    await start(scene);
    return { scene, exec: scene.supervisor.execs.get("exec-1")! };
  }

  it("answers with how much was taken", async () => {
    const { scene, exec } = await started();
    expect(await write(scene, 0, "abc")).toMatchObject({ offset: 3n, closed: false });
    expect(await write(scene, 3, "def", true)).toMatchObject({ offset: 6n, closed: true });
    expect([exec.stdin, exec.stdinEnded]).toEqual(["abcdef", true]);
    expect(scene.supervisor.openConversations).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("splits what is long", async () => {
    const { scene, exec } = await started();
    await write(scene, 0, "x".repeat(100_000));
    expect(exec.stdin).toHaveLength(100_000);
    const sent = stdinFrames(scene)[1]!;
    expect(sent.every(([, bytes]) => (bytes as number) <= 32 * 1024)).toBe(true);
  });

  it("takes a retry once", async () => {
    const { scene, exec } = await started();
    await write(scene, 0, "abc");
    expect(await write(scene, 0, "abc")).toMatchObject({ offset: 3n });
    expect(await write(scene, 0, "abcde")).toMatchObject({ offset: 5n });
    expect(exec.stdin).toBe("abcde");
    expect(stdinFrames(scene)[3]).toEqual([[3, 2, false]]);
  });

  it("ends the input with nothing more in it", async () => {
    const { scene, exec } = await started();
    await write(scene, 0, "abc");
    expect(await write(scene, 3, "", true)).toMatchObject({ offset: 3n, closed: true });
    expect(exec.stdinEnded).toBe(true);
  });

  it("ends the input where all of it was taken before", async () => {
    const { scene, exec } = await started();
    await write(scene, 0, "abc");
    await write(scene, 0, "abc", true);
    expect([exec.stdin, exec.stdinEnded]).toEqual(["abc", true]);
  });

  it("tells where the input is when it has nothing to add", async () => {
    const { scene } = await started();
    await write(scene, 0, "abc");
    expect(await write(scene, 0, "")).toMatchObject({ offset: 3n, closed: false });
  });

  it("refuses a gap", async () => {
    const { scene } = await started();
    for (const data of ["abc", ""]) {
      expect(await rejection(write(scene, 1, data))).toMatchObject({ kind: "offset_out_of_range" });
    }
  });

  it("sends nothing to a process that reads no more", async () => {
    const { scene, exec } = await started();
    exec.endStdin();
    expect(await write(scene, 0, "abc")).toMatchObject({ offset: 0n, closed: true });
    expect(stdinFrames(scene)[1]).toEqual([]);
  });

  it("says how far it got when the process does not read", async () => {
    const { scene, exec } = await started();
    exec.stdinLimit = 40_000;
    const answer = write(scene, 0, "x".repeat(100_000), true);
    await scene.clock.advance(4_999);
    expect(await isSettled(answer)).toBe(false);
    await scene.clock.advance(1);
    expect(await answer).toMatchObject({ offset: 32_768n, closed: false });
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("goes on over the next way with what was not taken", async () => {
    const { scene, exec } = await started();
    let taken = 0;
    scene.supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "stdin" || ++taken !== 2) return false;
      conversation.cut();
      return true;
    };
    await inTime(scene.clock, write(scene, 0, "0123456789".repeat(10_000), true));
    expect(exec.stdin).toBe("0123456789".repeat(10_000));
    expect(stdinFrames(scene)[2]![0]![0]).toBe(32_768);
  });

  it("does not wait for a supervisor that does not answer at all", async () => {
    const { scene } = await started();
    scene.supervisor.onFrame = () => true;
    const answer = write(scene, 0, "abc");
    await scene.clock.advance(39_999);
    expect(await isSettled(answer)).toBe(false);
    await scene.clock.advance(1);
    expect(await rejection(answer)).toMatchObject({ kind: "resume_window_ended" });
  });

  it("refuses a bad id", async () => {
    const scene = durableScene();
    const request = { ...name, execId: "" };
    const { input } = ExecService.method.writeStdin;
    expect(await rejection(call(scene, writeStdin, input, request))).toMatchObject({
      kind: "invalid_request",
      message: "exec_id is required",
    });
  });
});

it("a follower and a writer share an exec", async () => {
  const scene = durableScene({ command: { afterStdin: { stdout: "done" } } });
  const followed = follow(scene);
  await write(scene, 0, "abc", true);
  await followed.end;
  expect(followed.stdout()).toBe("done");
});
