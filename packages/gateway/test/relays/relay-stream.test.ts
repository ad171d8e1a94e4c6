import { create } from "@bufbuild/protobuf";
import { BelayError, RelayFrameSchema } from "@belay/protocol";
import type { RelayFrame } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { ManualClock, isSettled, settled } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import { relayStream } from "../../src/relays/relay-stream.ts";
import { MessageQueue } from "../support/message-queue.ts";
import { relayOpens } from "../support/relay-opens.ts";
import { never, testLimits } from "../support/test-limits.ts";
import { testSession } from "../support/test-session.ts";

const init = (channelId: string) =>
  create(RelayFrameSchema, { payload: { case: "init", value: { channelId } } });
const data = (text: string) =>
  create(RelayFrameSchema, { payload: { case: "data", value: Buffer.from(text) } });

function streamScene(features: string[] = []) {
  const clock = new ManualClock();
  const limits = testLimits();
  const relays = new RelayBroker(limits, clock, { sessionFanout: true });
  const session = testSession("sb-1", { features });
  const sent = relayOpens(session);
  const frames = new MessageQueue<RelayFrame>();
  const abort = new AbortController();
  const scope = new TaskScope("test", { signal: never });
  const received: string[] = [];

  /** The RPC, by the supervisor of this sandbox; resolves with its error, or undefined. */
  async function call(sandboxId = "sb-1"): Promise<unknown> {
    const claims = { sandboxId, sandboxName: sandboxId };
    try {
      for await (const { payload } of relayStream(
        frames,
        claims,
        { relays, limits, clock, scope },
        abort,
      )) {
        if (payload.case === "data") received.push(Buffer.from(payload.value).toString());
      }
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async function open() {
    const opening = relays.open(session, { signal: never });
    await settled();
    frames.send(init(sent.opened[0]!));
    const end = call();
    return { relay: await opening, end };
  }
  return { clock, relays, session, sent, frames, abort, scope, received, call, open };
}

describe("the first frame of RelayStream", () => {
  it.each([
    ["none", (_: MessageQueue<RelayFrame>) => {}, "empty RelayStream"],
    [
      "data",
      (frames: MessageQueue<RelayFrame>) => frames.send(data("x")),
      "first RelayFrame must be init with non-empty channel_id",
    ],
    [
      "init without a channel_id",
      (frames: MessageQueue<RelayFrame>) => frames.send(init("")),
      "first RelayFrame must be init with non-empty channel_id",
    ],
  ])("may not be %s", async (_what, send, message) => {
    const { frames, call } = streamScene();
    send(frames);
    frames.end();
    expect(await call()).toMatchObject({ kind: "protocol_violation", message });
  });

  it("must come within its limit", async () => {
    const { clock, call } = streamScene();
    const end = call();
    await clock.advance(10_000);
    expect(await end).toMatchObject({ kind: "protocol_violation" });
  });

  it("must name a relay that waits, of the caller's own sandbox", async () => {
    const { relays, session, sent, frames, call } = streamScene();
    const opening = relays.open(session, { signal: never });
    await settled();
    frames.send(init(sent.opened[0]!));
    expect(await call("sb-2")).toMatchObject({
      kind: "relay_not_found",
      message: "unknown or expired relay channel",
    });
    expect(await isSettled(opening)).toBe(false);
    session.end(new BelayError("session_lost", "over"));
    await expect(opening).rejects.toThrow("dropped");
  });
});

describe("RelayStream", () => {
  it("carries bytes both ways", async () => {
    const { frames, received, open } = streamScene();
    const { relay } = await open();
    frames.send(data("to the gateway"));
    relay.pipe.write("to the supervisor");
    await settled();
    expect((relay.pipe.read() as Buffer).toString()).toBe("to the gateway");
    expect(received).toEqual(["to the supervisor"]);
  });

  it("keeps each direction's end for itself", async () => {
    const { frames, received, open } = streamScene();
    const { relay, end } = await open();
    frames.end();
    relay.pipe.resume();
    await settled();
    expect(relay.pipe.readableEnded).toBe(true);
    relay.pipe.end("the rest");
    expect(await end).toBeUndefined();
    expect(received).toEqual(["the rest"]);
  });

  it("sends what was written before the relay was let go", async () => {
    const { received, open } = streamScene();
    const { relay, end } = await open();
    relay.pipe.write("goodbye");
    relay[Symbol.dispose]();
    expect(await end).toBeUndefined();
    expect(received).toEqual(["goodbye"]);
  });

  it("stops reading the stream while the relay's reader is slow", async () => {
    const { frames, open } = streamScene();
    const { relay } = await open();
    for (let sent = 0; sent < 20; sent += 1) frames.send(data("x".repeat(64 * 1024)));
    await settled();
    expect(relay.pipe.readableLength).toBeLessThanOrEqual(512 * 1024);
    relay.pipe.resume();
    await settled();
    expect(relay.pipe.bytesReceived).toBe(20 * 64 * 1024);
  });

  it.each([
    ["its stream is gone", (scene: ReturnType<typeof streamScene>) => scene.abort.abort()],
    [
      "reading it fails",
      (scene: ReturnType<typeof streamScene>) => scene.frames.fail(new Error("read ECONNRESET")),
    ],
    [
      "a frame is not data",
      (scene: ReturnType<typeof streamScene>) => scene.frames.send(init("again")),
    ],
  ])("breaks the relay at once when %s", async (_what, act) => {
    const scene = streamScene();
    const { relay, end } = await scene.open();
    act(scene);
    expect(await end).toMatchObject({ kind: "relay_dropped", message: "relay channel dropped" });
    expect(relay.ended.reason).toMatchObject({ kind: "relay_dropped" });
    expect(scene.relays.size).toBe(0);
  });

  it("ends with the reason for which the gateway breaks the relay", async () => {
    const { open } = streamScene();
    const { relay, end } = await open();
    relay.fail(new BelayError("relay_lost", "ssh keepalive unanswered"));
    expect(await end).toMatchObject({ kind: "relay_lost", message: "ssh keepalive unanswered" });
  });

  it("leaves no task behind when its stream is lost after the relay was let go", async () => {
    const { frames, abort, scope, open } = streamScene();
    const { relay } = await open();
    for (let sent = 0; sent < 20; sent += 1) frames.send(data("x".repeat(64 * 1024)));
    await settled();
    relay[Symbol.dispose]();
    abort.abort();
    frames.fail(new Error("stream closed"));
    await scope.idle();
    expect(relay.pipe.destroyed).toBe(true);
  });
});

describe("the ends of a relay's directions, with a supervisor that marks them", () => {
  const empty = () => data("");

  it("are told to the supervisor by an empty frame, and its own bytes go on coming", async () => {
    const { frames, received, open } = streamScene(["relay-end"]);
    const { relay, end } = await open();
    relay.pipe.end("all");
    await settled();
    expect(received).toEqual(["all", ""]);
    expect(await isSettled(end)).toBe(false);
    frames.send(data("the answer"));
    frames.send(empty());
    frames.end();
    relay.pipe.resume();
    await settled();
    expect(relay.pipe.bytesReceived).toBe("the answer".length);
    expect(relay.pipe.readableEnded).toBe(true);
    expect(relay.state.is).toBe("open");
    relay[Symbol.dispose]();
    expect(await end).toBeUndefined();
  });

  it("are heard from the supervisor in an empty frame", async () => {
    const { frames, open } = streamScene(["relay-end"]);
    const { relay } = await open();
    frames.send(empty());
    relay.pipe.resume();
    await settled();
    expect(relay.pipe.readableEnded).toBe(true);
    expect(relay.state.is).toBe("open");
  });

  it("are a break without it: a supervisor that gives a relay up may end its stream first", async () => {
    const { frames, open } = streamScene(["relay-end"]);
    const { relay, end } = await open();
    frames.send(data("half of"));
    frames.end();
    relay.pipe.resume();
    expect(await end).toMatchObject({ kind: "relay_dropped" });
    expect(relay.pipe.readableEnded).toBe(false);
  });

  it("leave the relay to break as ever", async () => {
    const { frames, open } = streamScene(["relay-end"]);
    const { relay, end } = await open();
    relay.pipe.end();
    await settled();
    frames.fail(new Error("read ECONNRESET"));
    expect(await end).toMatchObject({ kind: "relay_dropped" });
    expect(relay.pipe.destroyed).toBe(true);
  });
});

describe("the ends of a relay's directions, with another supervisor", () => {
  it("are the ends of the streams, and the completed RPC's own abort breaks nothing", async () => {
    const { frames, abort, received, scope, open } = streamScene();
    const { relay, end } = await open();
    relay.pipe.end("all");
    expect(await end).toBeUndefined();
    abort.abort();
    expect([received, relay.state.is]).toEqual([["all"], "open"]);
    frames.send(data("the answer"));
    frames.send(data(""));
    frames.end();
    await settled();
    expect((relay.pipe.read() as Buffer).toString()).toBe("the answer");
    relay[Symbol.dispose]();
    await scope.idle();
  });

  it("leave no task behind when the relay is let go before the supervisor's end", async () => {
    const { frames, scope, open } = streamScene();
    const { relay, end } = await open();
    relay.pipe.end();
    await end;
    for (let sent = 0; sent < 20; sent += 1) frames.send(data("x".repeat(64 * 1024)));
    frames.end();
    await settled();
    relay[Symbol.dispose]();
    await scope.idle();
    expect(relay.pipe.destroyed).toBe(true);
  });
});
