// run-forward.test.ts: the bytes of a forward, each direction's end, and every way to break.
import { randomBytes } from "node:crypto";
import { BelayError } from "@belay/protocol";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { forwardScene, initFrame } from "../support/forward-scene.ts";
import { isSettled, settled, until } from "@belay/relay-core/testing";

const text = (data: unknown) => (data as Buffer | null)?.toString();

describe("a forward", () => {
  it("carries bytes both ways", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    running.send("to the target");
    target.write("to the client");
    await until(() => target.readableLength > 0 && running.received.length > 0);
    expect(text(target.read())).toBe("to the target");
    expect(running.text()).toBe("to the client");
  });

  it("passes the client's end on, and the target goes on sending", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    running.send("all");
    running.frames.end();
    target.resume();
    await settled();
    await scene.clock.advance(49);
    expect(target.readableEnded).toBe(false);
    await scene.clock.advance(1);
    await until(() => target.readableEnded);
    expect(await isSettled(running.ended)).toBe(false);
    target.write("the answer");
    target.end();
    expect(await running.ended).toBeUndefined();
    expect(running.text()).toBe("the answer");
    await until(() => scene.relays.size === 0);
  });

  it("ends its response after the target's last byte, and the client goes on sending", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    const data = randomBytes(1024 * 1024);
    target.end(data);
    expect(await running.ended).toBeUndefined();
    expect(Buffer.concat(running.received).equals(data)).toBe(true);
    running.send("late");
    running.frames.end();
    target.resume();
    await settled();
    await scene.clock.advance(50);
    await until(() => target.readableEnded);
    await until(() => scene.relays.size === 0 && scene.forwards.open === 0);
    expect(scene.clock.pendingTimers).toBe(1); // the token's
    expect(scene.lines.at(-1)).toMatchObject({
      event: "forward.ended",
      fields: { toTarget: 4, fromTarget: data.length },
    });
  });

  it("waits for a client that does not end no longer than its limit", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    (await scene.target()).end();
    expect(await running.ended).toBeUndefined();
    await settled();
    await scene.clock.advance(9_999);
    expect([scene.relays.size, scene.forwards.open]).toEqual([1, 1]);
    await scene.clock.advance(1);
    expect([scene.relays.size, scene.forwards.open]).toEqual([0, 0]);
  });

  it("sends frames of at most 64 KiB, whatever the supervisor's are", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    await scene.target();
    const { relay } = scene.opened[0]!;
    await relay.pipe.receive(Buffer.alloc(200_000, 7));
    relay.pipe.receiveEnd();
    expect(await running.ended).toBeUndefined();
    expect(running.received.map(({ length }) => length)).toEqual([65_536, 65_536, 65_536, 3_392]);
  });

  it("stops reading its client while the target is slow, and loses nothing", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    const chunk = Buffer.alloc(64 * 1024, 1);
    for (let sent = 0; sent < 64; sent += 1) running.send(chunk);
    running.frames.end();
    await settled();
    expect(running.frames.waiting).toBeGreaterThan(32);
    let bytes = 0;
    target.on("data", (data: Buffer) => (bytes += data.length));
    await until(() => bytes === 64 * chunk.length);
    await scene.clock.advance(50);
    await until(() => target.readableEnded);
    expect(bytes).toBe(64 * chunk.length);
  });

  it("with an empty frame is not ended, nor held up", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    running.send("");
    running.send("x");
    await until(() => target.readableLength > 0);
    expect(text(target.read())).toBe("x");
  });
});

describe("a forward breaks, and never looks complete,", () => {
  it.each([
    ["its session ends", "relay_dropped"],
    ["the target does", "relay_lost"],
    ["its token is revoked", "unauthenticated"],
    ["its token expires", "unauthenticated"],
    ["the client sends another frame than data", "protocol_violation"],
  ] as const)("when %s", async (what, kind) => {
    await using scene = await forwardScene({ limits: { sshSessionMs: 60_000 } });
    const { token } = await scene.sshSessions.create("sb-1");
    const running = await scene.forward({ authorizationToken: token });
    const target = await scene.target();
    target.write("half of");
    await until(() => running.received.length > 0);
    const { session, channelIds } = scene.supervisor;
    const why = "tcp target broke the connection";
    if (what === "its session ends") session.end(new BelayError("session_lost", "reset"));
    else if (what === "the target does")
      scene.relays.closedBySupervisor(channelIds[0]!, why, session);
    else if (what === "its token is revoked") await scene.sshSessions.revoke(token);
    else if (what === "its token expires") await scene.clock.advance(60_000);
    else running.frames.send(initFrame({}));
    expect(await running.ended).toMatchObject({
      kind,
      outcome: "unknown",
      ids: { sandboxId: "sb-1", channelId: channelIds[0] },
    });
    await until(() => target.destroyed && scene.forwards.open === 0);
    expect(target.readableEnded).toBe(false);
    expect(scene.relays.size).toBe(0);
  });

  it.each([
    ["", false],
    [", though its stream seemed to end first", true],
  ])("when its client is gone%s: the target does not see an end", async (_how, endsFirst) => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    running.send("half of");
    await until(() => target.readableLength > 0);
    target.resume();
    if (endsFirst) running.frames.end();
    await settled();
    running.caller.abort(new Error("stream reset"));
    await until(() => target.destroyed);
    expect(target.readableEnded).toBe(false);
    expect(await running.ended).toMatchObject({ kind: "canceled" });
    expect([scene.relays.size, scene.forwards.open]).toEqual([0, 0]);
  });

  it.each([
    [new Error("read ECONNRESET"), "canceled"],
    [new ConnectError("message is larger than allowed", Code.ResourceExhausted), "limit_exceeded"],
  ])("when reading from its client fails with %s", async (error, kind) => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    const target = await scene.target();
    running.frames.fail(error);
    await until(() => target.destroyed);
    expect(await running.ended).toMatchObject({ kind, outcome: "unknown" });
  });

  it("when it has not been opened yet, without a relay left behind", async () => {
    await using scene = await forwardScene({ onRelayOpen: () => {} });
    const running = await scene.forward();
    await until(() => scene.relays.size === 1);
    running.caller.abort(new Error("stream reset"));
    expect(await running.ended).toMatchObject({ kind: "canceled", outcome: "not_started" });
    expect([scene.relays.size, scene.forwards.open]).toEqual([0, 0]);
  });
});
