import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { ExecInput } from "../../../src/exec/exec-input.ts";
import { durableScene, endSession, finish, follow, inTime } from "../../support/durable-scene.ts";
import type { DurableScene } from "../../support/durable-scene.ts";
import { isSettled, rejection, settled, until } from "@belay/relay-core/testing";

const stays = { stdout: "so far", stays: true };

async function running(scene: DurableScene) {
  const followed = follow(scene);
  await until(() => followed.stdout() === "so far", "its output has come");
  return followed;
}

describe("an exec that is followed durably", () => {
  it("goes on over the next session, and says how long that took", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    endSession(scene);
    await scene.clock.advance(20_000);
    expect(await isSettled(followed.end)).toBe(false);
    scene.sessions.add(scene.supervisor.session());
    await settled();
    finish(scene, ", and more");
    const { exit } = await followed.end;
    expect([followed.stdout(), exit?.reason]).toEqual(["so far, and more", "exited"]);
    expect(scene.lines.map(({ event, fields }) => [event, fields["tookMs"]])).toEqual([
      ["exec.detached", undefined],
      ["exec.resumed", 0],
    ]);
    const metrics = await scene.deps.metrics.text();
    expect(metrics).toContain("belay_exec_resumes_total 1");
    expect(metrics).toContain("belay_exec_resume_seconds_count 1");
  });

  it("is given up when the way does not come back within the window", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    endSession(scene);
    await scene.clock.advance(29_999);
    expect(await isSettled(followed.end)).toBe(false);
    await scene.clock.advance(1);
    expect(await rejection(followed.end)).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
      ids: { execId: "exec-1", sandboxId: "sb-1" },
    });
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("is given up, not started, when nothing could be sent within the window", async () => {
    const scene = durableScene({ command: stays });
    scene.supervisor.onOpen = () => {
      throw new BelayError("relay_dropped", "relay channel dropped");
    };
    const followed = follow(scene);
    await scene.clock.advance(30_000);
    expect(await rejection(followed.end)).toMatchObject({
      kind: "resume_window_ended",
      outcome: "not_started",
    });
    expect(scene.supervisor.runs).toBe(0);
  });

  it("hears at once why no way could be opened at first", async () => {
    const scene = durableScene();
    scene.supervisor.onOpen = () => {
      throw new BelayError("relay_open_timeout", "relay open timed out");
    };
    expect(await rejection(follow(scene).end)).toMatchObject({
      kind: "relay_open_timeout",
      outcome: "not_started",
    });
  });

  it("tries on, but does not spin, while a session that lives gives no way", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    let tries = 0;
    scene.supervisor.onOpen = () => {
      tries += 1;
      throw new BelayError("relay_refused", "no descriptors left");
    };
    scene.supervisor.conversations[0]!.cut();
    await scene.clock.advance(10_000);
    expect(tries).toBeGreaterThan(9);
    expect(tries).toBeLessThan(200);
    scene.supervisor.onOpen = undefined;
    await scene.clock.advance(1_000);
    finish(scene);
    await followed.end;
  });

  it("is given up when ways come and go, and bring nothing, for the whole window", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    scene.supervisor.onFrame = (_frame, conversation) => {
      conversation.answer({ case: "info", value: { execId: "exec-1" } });
      setImmediate(() => conversation.cut());
      return true;
    };
    scene.supervisor.conversations[0]!.cut();
    expect(await rejection(inTime(scene.clock, followed.end))).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
    });
    expect(scene.supervisor.conversations.length).toBeLessThan(200);
  });

  it("goes on for as long as the ways that come and go bring something", async () => {
    const scene = durableScene({ command: stays, chunkBytes: 1 });
    const followed = await running(scene);
    scene.supervisor.execs.get("exec-1")!.log.stdout += "x".repeat(100);
    scene.supervisor.onFrame = (_frame, conversation) => {
      const at = followed.stdout().length;
      conversation.answer({ case: "info", value: { execId: "exec-1" } });
      const data = Buffer.from("x");
      conversation.answer({ case: "output", value: { stream: 1, offset: BigInt(at), data } });
      setImmediate(() => conversation.cut());
      if (at > 100) scene.supervisor.onFrame = undefined;
      return true;
    };
    scene.supervisor.conversations[0]!.cut();
    while (scene.supervisor.onFrame) await scene.clock.advance(100);
    expect(scene.clock.now()).toBeGreaterThan(35_000);
    await settled();
    finish(scene);
    const { exit } = await inTime(scene.clock, followed.end);
    expect([exit?.reason, followed.stdout()]).toEqual(["exited", `so far${"x".repeat(100)}`]);
  });

  it("does not wait longer than the window for a way that is being opened", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    scene.supervisor.onOpen = () => new Promise(() => {});
    scene.supervisor.conversations[0]!.cut();
    await scene.clock.advance(30_000);
    expect(await rejection(followed.end)).toMatchObject({ kind: "resume_window_ended" });
  });

  it("closes a conversation that comes after it was given up", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    const late = Promise.withResolvers<void>();
    scene.supervisor.onOpen = () => late.promise;
    scene.supervisor.conversations[0]!.cut();
    await scene.clock.advance(30_000);
    await rejection(followed.end);
    late.resolve();
    await settled();
    expect(scene.supervisor.conversations).toHaveLength(2);
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("takes a supervisor that does not answer for one that cannot be reached", async () => {
    const scene = durableScene({ command: stays });
    scene.supervisor.onFrame = () => true;
    const followed = follow(scene);
    await scene.clock.advance(39_999);
    expect(await isSettled(followed.end)).toBe(false);
    await scene.clock.advance(1);
    expect(await rejection(followed.end)).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
    });
    expect(scene.supervisor.openConversations).toBe(0);
  });

  it("takes silence for nothing while it follows", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    await scene.clock.advance(24 * 3_600_000);
    expect(await isSettled(followed.end)).toBe(false);
    expect(scene.clock.pendingTimers).toBe(0);
    finish(scene);
    await followed.end;
  });

  it("is lost with its supervisor: another may not start it again", async () => {
    const scene = durableScene({ command: stays });
    scene.supervisor.onFrame = () => true; // the answer to the start is lost
    const followed = follow(scene);
    await until(() => scene.supervisor.conversations[0]?.received.length === 1, "start was sent");
    endSession(scene);
    scene.supervisor.instanceId = "in-2";
    scene.supervisor.onFrame = undefined;
    scene.sessions.add(scene.supervisor.session());
    expect(await rejection(inTime(scene.clock, followed.end))).toMatchObject({
      kind: "exec_lost",
      outcome: "unknown",
      ids: { execId: "exec-1" },
    });
    expect(scene.supervisor.runs).toBe(0);
  });

  it("is lost when the supervisor that comes back has no durable execs", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    endSession(scene);
    scene.sessions.add(durableScene({ features: [] }).session);
    expect(await rejection(inTime(scene.clock, followed.end))).toMatchObject({
      kind: "exec_lost",
      outcome: "unknown",
    });
  });

  it("is refused where the supervisor has no durable execs", async () => {
    const scene = durableScene({ features: [] });
    expect(await rejection(follow(scene).end)).toMatchObject({
      kind: "unimplemented",
      outcome: "not_started",
    });
  });

  it("hears what the supervisor answers, and asks no second time", async () => {
    const scene = durableScene();
    scene.supervisor.fences.add("exec-1");
    expect(await rejection(follow(scene).end)).toMatchObject({
      kind: "exec_fenced",
      outcome: "not_started",
      ids: { execId: "exec-1", sandboxId: "sb-1" },
    });
    expect(scene.supervisor.conversations).toHaveLength(1);
  });

  it("blames the supervisor, not the caller, when that breaks the protocol", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    const exit = { reason: "exited", stdout: { bytes: 7n } };
    scene.supervisor.conversations[0]!.answer({ case: "exit", value: exit });
    expect(await rejection(followed.end)).toMatchObject({
      kind: "internal",
      message: "the supervisor broke the protocol: stdout ends after 6 of 7 bytes",
      outcome: "completed",
    });
  });

  it("ends at the signal, wherever it is, and only detaches", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    followed.abort.abort(new BelayError("gateway_stopping", "the gateway stops"));
    expect(await rejection(followed.end)).toMatchObject({
      kind: "gateway_stopping",
      outcome: "running",
    });
    expect(scene.supervisor.openConversations).toBe(0);
    const cases = scene.supervisor.conversations.map(({ received }) =>
      received.map(({ payload }) => payload.case),
    );
    expect(cases).toEqual([["start"]]);
  });

  it("ends at the signal while it looks for a way", async () => {
    const scene = durableScene({ command: stays });
    const followed = await running(scene);
    endSession(scene);
    await settled();
    followed.abort.abort(new BelayError("canceled", "enough"));
    expect(await rejection(followed.end)).toMatchObject({ kind: "canceled", outcome: "unknown" });
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("reads no more while its reader is busy", async () => {
    const scene = durableScene({ command: { stdout: "12345678" }, chunkBytes: 1 });
    let taken = 0;
    const more = Promise.withResolvers<void>();
    const followed = follow(scene, {
      onEvent(event) {
        if (event.case === "output") taken += 1;
        return taken === 3 ? more.promise : Promise.resolve();
      },
    });
    await settled();
    expect(taken).toBe(3);
    more.resolve();
    await followed.end;
    expect(taken).toBe(8);
  });
});

describe("the input of an exec that is followed durably", () => {
  const command = { afterStdin: { stdout: "done" } };
  const stdin = Buffer.alloc(100_000, "0123456789");

  /** What was sent over each conversation: offset, bytes and whether it was the end. */
  const sent = ({ supervisor }: DurableScene) =>
    supervisor.conversations.map(({ received }) =>
      received.flatMap(({ payload }) =>
        payload.case === "stdin"
          ? [[Number(payload.value.offset), payload.value.data.byteLength, payload.value.end]]
          : [],
      ),
    );

  it("goes in frames, and its end with the last", async () => {
    const scene = durableScene({ command });
    await follow(scene, { input: ExecInput.whole(stdin) }).end;
    const [frames] = sent(scene);
    expect(frames!.every(([, bytes]) => (bytes as number) <= 32 * 1024)).toBe(true);
    expect(frames!.map(([, , end]) => end)).toEqual([false, false, false, true]);
    expect(scene.supervisor.execs.get("exec-1")!.stdin).toBe(stdin.toString());
  });

  it("ends though there is none", async () => {
    const scene = durableScene({ command });
    await follow(scene, { input: ExecInput.whole(Buffer.alloc(0)) }).end;
    expect(sent(scene)).toEqual([[[0, 0, true]]]);
  });

  it("goes on from what was taken", async () => {
    const scene = durableScene({ command });
    let frames = 0;
    scene.supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "stdin" || ++frames !== 3) return false;
      conversation.cut();
      return true;
    };
    await inTime(scene.clock, follow(scene, { input: ExecInput.whole(stdin) }).end);
    const [before, after] = sent(scene);
    expect(after![0]![0]).toBe(before![2]![0]);
    expect(scene.supervisor.execs.get("exec-1")!.stdin).toBe(stdin.toString());
  });

  it("stops when the process reads no more", async () => {
    const scene = durableScene({ command: { stays: true, afterStdin: {} } });
    scene.supervisor.onFrame = ({ payload }, conversation) => {
      if (payload.case !== "stdin") return false;
      conversation.answer({ case: "stdinAck", value: { offset: 10n, closed: true } });
      return true;
    };
    const huge = Buffer.alloc(4_000_000);
    const followed = follow(scene, { input: ExecInput.whole(huge) });
    await settled();
    finish(scene);
    await followed.end;
    expect(sent(scene)[0]!.length).toBeLessThan(100);
  });

  it("is none of its business where others write it", async () => {
    const scene = durableScene({ command: {} });
    await follow(scene).end;
    expect(sent(scene)).toEqual([[]]);
  });
});
