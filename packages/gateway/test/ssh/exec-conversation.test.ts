import { BelayError } from "@belay/protocol";
import type { SupervisorFrame } from "@belay/protocol";
import { encodeOutputFrame } from "@belay/relay-core";
import type { RelayPipe } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import type { ExecConversation } from "../../src/ssh/exec-conversation.ts";
import { abortListeners } from "../support/abort-listeners.ts";
import { connectionsScene } from "../support/connections-scene.ts";
import { isSettled, rejection, settled, turns, until } from "@belay/relay-core/testing";
import { never } from "../support/test-limits.ts";

const next = (here: ExecConversation) => here.next({ signal: never });
const WINDOW_BYTES = 2 * 1024 * 1024;

function outputOf({ payload }: SupervisorFrame) {
  if (payload.case !== "output") throw new Error(`no output but ${payload.case}`);
  return payload.value;
}

function stdin(offset: number, data: Buffer) {
  return { payload: { case: "stdin", value: { offset: BigInt(offset), data } } } as const;
}

describe("a conversation of the exec subsystem", () => {
  it("carries frames both ways", async () => {
    const { talk, supervisor } = connectionsScene();
    const { here, there } = await talk("exec-7");
    expect(here.ids).toEqual({
      sandboxId: "sb-1",
      sessionId: supervisor.session.id,
      channelId: supervisor.channelIds[0],
    });
    expect(here.instanceId).toBe("in-1");
    expect(await there.next()).toMatchObject({ execId: "exec-7", payload: { case: "get" } });
    await here.send(stdin(0, Buffer.from("input")), { signal: never });
    expect((await there.next()).payload.value).toMatchObject({ data: Buffer.from("input") });
    there.send({ payload: { case: "info", value: { execId: "exec-7" } } });
    there.sendOutput("stderr", 5, "oops");
    expect((await next(here)).payload).toMatchObject({ case: "info" });
    expect(outputOf(await next(here))).toMatchObject({ offset: 5n, data: Buffer.from("oops") });
  });

  it("gives frames that came in pieces, and several that came at once", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    const frame = encodeOutputFrame("stdout", 0, Buffer.from("abc"));
    const pending = next(here);
    for (const byte of frame.subarray(0, -1)) {
      there.sendBytes(Buffer.of(byte));
      expect(await isSettled(pending)).toBe(false);
    }
    there.sendBytes(Buffer.concat([frame.subarray(-1), frame, frame]));
    const data = Buffer.from("abc");
    expect(outputOf(await pending).data).toEqual(data);
    expect(outputOf(await next(here)).data).toEqual(data);
    expect(outputOf(await next(here)).data).toEqual(data);
  });

  it("throws what the supervisor says in a failed frame", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    const failed = { kind: "exec_fenced", outcome: "not_started", message: "canceled before" };
    there.send({ payload: { case: "failed", value: failed } });
    there.close();
    expect(await rejection(next(here))).toMatchObject({ ...failed, ids: here.ids });
    expect(await rejection(next(here))).toMatchObject({ kind: "relay_lost" });
  });

  it("takes a failure of a kind that it does not know for an internal one", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    const value = { kind: "of_tomorrow", outcome: "of_tomorrow", message: "new" };
    there.send({ payload: { case: "failed", value } });
    const error = { kind: "internal", outcome: "unknown", message: "new" };
    expect(await rejection(next(here))).toMatchObject(error);
  });

  it.each([
    ["longer than any frame", Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ["no message", Buffer.from([0, 0, 0, 1, 0xff])],
  ])("fails for good at a frame that is %s", async (_what, bytes) => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    there.sendBytes(bytes);
    const violation = { kind: "protocol_violation", outcome: "unknown", ids: here.ids };
    expect(await rejection(next(here))).toMatchObject(violation);
    there.send({ payload: { case: "endOfLog", value: {} } });
    await settled();
    expect(await rejection(next(here))).toMatchObject(violation);
  });

  it("leaves what is not taken in the window, which stops the supervisor", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    let sent = 0;
    const data = Buffer.alloc(32_000, "o");
    const fill = () => {
      while (there.channel.writableLength === 0) {
        there.sendOutput("stdout", sent, data);
        sent += data.length;
      }
    };
    for (let turn = 0; turn < 500; turn += 1) {
      fill();
      await turns(1);
    }
    expect(sent).toBeLessThan(2 * WINDOW_BYTES + 2 * data.length);
    for (let taken = 0; taken < sent; taken += data.length) {
      expect(Number(outputOf(await next(here)).offset)).toBe(taken);
    }
    fill();
    await there.drained();
  });

  it("takes no more than its window from a supervisor that does not keep to it", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    const { outgoing } = there.channel as unknown as { outgoing: { window: number } };
    const data = Buffer.alloc(32_000);
    for (let sent = 0; sent < 8 * WINDOW_BYTES; sent += data.length) {
      outgoing.window = WINDOW_BYTES;
      there.sendOutput("stdout", sent, data);
      if (sent % (10 * data.length) === 0) await turns(2);
    }
    await until(() => there.closed);
    let taken = 0;
    const end = rejection(
      (async () => {
        for (;;) taken += outputOf(await next(here)).data.byteLength;
      })(),
    );
    expect(await end).toMatchObject({ kind: "protocol_violation", outcome: "unknown" });
    expect(taken).toBeGreaterThan(WINDOW_BYTES);
    expect(taken).toBeLessThan(3 * WINDOW_BYTES);
  });

  it("gives output as a view on the packet that it came in", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    const frame = encodeOutputFrame("stdout", 0, Buffer.alloc(8_000));
    for (let count = 0; count < 2; count += 1) there.sendBytes(frame);
    await settled();
    for (let count = 0; count < 2; count += 1) {
      const { buffer } = outputOf(await next(here)).data;
      expect(buffer.byteLength).toBeGreaterThan(frame.byteLength);
      expect(buffer.byteLength).toBeLessThan(2 * frame.byteLength);
    }
  });

  it("sends no more than the supervisor's window, and goes on with it", async () => {
    const { talk } = connectionsScene();
    const { here, there } = await talk();
    there.stopReading();
    const data = Buffer.alloc(64 * 1024, "i");
    let accepted = 0;
    const sending = (async () => {
      for (let offset = 0; offset < 8 * WINDOW_BYTES; offset += data.length) {
        await here.send(stdin(offset, data), { signal: never });
        accepted += data.length;
      }
    })();
    await until(() => accepted > WINDOW_BYTES);
    expect(await isSettled(sending)).toBe(false);
    const stuckAt = accepted;
    await turns(200);
    expect(accepted).toBe(stuckAt);
    expect(stuckAt).toBeLessThan(2 * WINDOW_BYTES + data.length);
    there.readOn();
    await sending;
    await until(() => there.received.length === 1 + (8 * WINDOW_BYTES) / data.length);
  });

  it("waits for room in a relay that is full, as do all others on it", async () => {
    const scene = connectionsScene();
    const { pipe } = (await scene.talk()).there.relay;
    const others = await scene.openMany(20);
    const release = holdFrames(pipe);
    const data = Buffer.alloc(64 * 1024);
    while (!pipe.writableNeedDrain) void others[0]!.send(stdin(0, data), { signal: never });
    const before = pipe.listenerCount("drain");
    const sending = Promise.all(others.map((one) => one.send(stdin(0, data), { signal: never })));
    expect(await isSettled(sending)).toBe(false);
    expect(pipe.listenerCount("drain")).toBeLessThanOrEqual(Math.max(1, before));
    release();
    await sending;
  });

  describe.each<[string, (scene: Awaited<ReturnType<typeof lostScene>>) => void]>([
    ["its channel is closed by the supervisor", ({ there }) => there.close()],
    ["its SSH connection ends", ({ there }) => there.connection.end()],
    ["its relay breaks", ({ there }) => there.relay.fail(dropped)],
    ["its relay is ended by the supervisor", ({ there }) => there.pipe.end()],
    ["its session ends", ({ supervisor }) => supervisor.session.end(sessionLost)],
    [
      "the gateway ends its connections",
      ({ connections }) => void connections[Symbol.asyncDispose](),
    ],
  ])("hears at once that %s", (_what, lose) => {
    it("while it waits for a frame", async () => {
      const scene = await lostScene();
      const end = rejection(next(scene.here));
      lose(scene);
      expect(await end).toMatchObject({ kind: "relay_lost" });
      expect(scene.clock.now()).toBe(0);
    });

    it("while it waits for room", async () => {
      const scene = await lostScene();
      scene.there.stopReading();
      const data = Buffer.alloc(3 * WINDOW_BYTES);
      const end = rejection(scene.here.send(stdin(0, data), { signal: never }));
      await settled();
      lose(scene);
      void scene.here.next({ signal: never }).catch(() => {}); // an end is heard by who reads
      expect(await end).toMatchObject({ kind: "relay_lost" });
      expect(scene.clock.now()).toBe(0);
    });

    it("and from then on", async () => {
      const scene = await lostScene();
      lose(scene);
      expect(await rejection(next(scene.here))).toMatchObject({ kind: "relay_lost" });
      const sent = scene.here.send(stdin(0, Buffer.from("x")), { signal: never });
      expect(await rejection(sent)).toMatchObject({ kind: "relay_lost" });
    });

    it("after the frames that had come", async () => {
      const scene = await lostScene();
      scene.there.send({ payload: { case: "endOfLog", value: {} } });
      scene.there.sendOutput("stdout", 0, "tail");
      await settled();
      lose(scene);
      await settled();
      expect((await next(scene.here)).payload.case).toBe("endOfLog");
      expect(outputOf(await next(scene.here)).offset).toBe(0n);
      expect(await rejection(next(scene.here))).toMatchObject({ kind: "relay_lost" });
    });
  });

  it("sends nothing on a closed channel, though frames are unread", async () => {
    const { here, there } = await lostScene();
    there.send({ payload: { case: "endOfLog", value: {} } });
    there.close();
    await until(() => there.closed);
    await settled();
    const sent = here.send(stdin(0, Buffer.from("x")), { signal: never });
    expect(await rejection(sent)).toMatchObject({ kind: "relay_lost", ids: here.ids });
    expect((await next(here)).payload.case).toBe("endOfLog");
  });

  it("keeps the cause of a lost way", async () => {
    const { here, supervisor } = await lostScene();
    const end = rejection(next(here));
    supervisor.session.end(sessionLost);
    expect(await end).toMatchObject({
      ids: here.ids,
      cause: { kind: "relay_dropped", cause: sessionLost },
    });
  });

  it("is left at its caller's abort, with the reason and no listener", async () => {
    const { here, there } = await lostScene();
    there.stopReading();
    const abort = new AbortController();
    const ends = [
      rejection(here.next({ signal: abort.signal })),
      rejection(here.send(stdin(0, Buffer.alloc(3 * WINDOW_BYTES)), { signal: abort.signal })),
    ];
    await settled();
    const reason = new BelayError("canceled", "enough");
    abort.abort(reason);
    for (const end of ends) expect(await end).toBe(reason);
    expect(abortListeners(abort.signal)).toBe(0);
    expect(await rejection(here.next({ signal: abort.signal }))).toBe(reason);
  });

  it("closes its channel at its disposal, whatever is unread, and waits for nothing", async () => {
    const { here, there } = await lostScene();
    there.sendOutput("stdout", 0, Buffer.alloc(100_000));
    await settled();
    here[Symbol.dispose]();
    here[Symbol.dispose]();
    await until(() => there.closed);
    expect(await rejection(next(here))).toMatchObject({ kind: "relay_lost" });
  });

  it("is not stopped by what comes on the stream that it does not use", async () => {
    const { here, there } = await lostScene();
    let sent = 0;
    for (; sent < 3 * WINDOW_BYTES; sent += 100_000) {
      there.channel.stderr.write(Buffer.alloc(100_000));
      await until(() => there.channel.stderr.writableLength === 0);
    }
    there.send({ payload: { case: "endOfLog", value: {} } });
    expect((await next(here)).payload.case).toBe("endOfLog");
  });
});

const dropped = new BelayError("relay_dropped", "relay channel dropped");
const sessionLost = new BelayError("session_lost", "gone");

async function lostScene() {
  const scene = connectionsScene();
  return { ...scene, ...(await scene.talk()) };
}

/** The supervisor takes nothing from the relay any more, until it is released. */
function holdFrames(pipe: RelayPipe): () => void {
  const released = Promise.withResolvers<void>();
  const nextFrame = pipe.nextFrame.bind(pipe);
  pipe.nextFrame = () => released.promise.then(nextFrame);
  return released.resolve;
}
