import { create } from "@bufbuild/protobuf";
import { BelayError, SupervisorMessageSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { connectScene, hello } from "../support/connect-scene.ts";
import { testSession } from "../support/test-session.ts";
import { isSettled, settled, until } from "@belay/relay-core/testing";

const heartbeat = create(SupervisorMessageSchema, { payload: { case: "heartbeat", value: {} } });

describe("the hello of ConnectSupervisor", () => {
  it("is answered by the session, with the heartbeat that is kept", async () => {
    const { messages, received, sessions, start } = connectScene();
    messages.send(hello());
    void start();
    await until(() => received.length > 0);
    const session = sessions.current("sb-1")!;
    expect(received[0]!.payload).toMatchObject({
      case: "sessionAccepted",
      value: { sessionId: session.id, heartbeatIntervalSecs: 10, heartbeatIntervalMs: 10_000 },
    });
    expect(session.instanceId).toBe("in-1");
    expect(session.offers("ssh-env")).toBe(true);
  });

  it("must be the first message", async () => {
    const { messages, sessions, start } = connectScene();
    messages.send(heartbeat);
    expect(await start()).toMatchObject({
      kind: "protocol_violation",
      message: "first message must be hello",
    });
    expect(sessions.size).toBe(0);
  });

  it("must come at all", async () => {
    const { messages, start } = connectScene();
    messages.end();
    expect(await start()).toMatchObject({ kind: "protocol_violation" });
  });

  it("must come within its limit", async () => {
    const { clock, start } = connectScene();
    const end = start();
    await clock.advance(9_999);
    expect(await isSettled(end)).toBe(false);
    await clock.advance(1);
    expect(await end).toMatchObject({
      kind: "protocol_violation",
      message: "supervisor hello: no answer within 10000 ms",
    });
  });

  it("must be for the token's sandbox", async () => {
    const { messages, sessions, start } = connectScene();
    messages.send(hello("sb-2"));
    expect(await start()).toMatchObject({ kind: "permission_denied" });
    expect(sessions.size).toBe(0);
  });

  it("is refused when another sandbox has taken the name", async () => {
    const { messages, start } = connectScene({ known: { id: "sb-new", name: "box" } });
    messages.send(hello());
    expect(await start()).toMatchObject({ kind: "sandbox_not_found" });
  });

  it("is refused when there are too many sessions", async () => {
    const { messages, received, start } = connectScene({ limits: { sessions: 0 } });
    messages.send(hello());
    expect(await start()).toMatchObject({ kind: "limit_exceeded" });
    expect(received).toEqual([]);
  });

  it("makes the sandbox known that the token names", async () => {
    const { messages, ensured, start, sessions } = connectScene();
    messages.send(hello());
    void start();
    await until(() => sessions.size === 1);
    expect(ensured).toEqual([["box", "sb-1"]]);
  });
});

describe("a session", () => {
  async function accepted(options: Parameters<typeof connectScene>[0] = {}) {
    const scene = connectScene(options);
    scene.messages.send(hello());
    const end = scene.start();
    await until(() => scene.sessions.size === 1);
    return { ...scene, end, session: scene.sessions.current("sb-1")! };
  }

  it("ends when three heartbeats in a row are missed", async () => {
    const { clock, end, session, sessions, received } = await accepted();
    await clock.advance(29_000);
    expect(session.ended.aborted).toBe(false);
    await clock.advance(3_000);
    expect(await end).toMatchObject({
      kind: "session_lost",
      message: "supervisor: no heartbeat within 30000 ms",
    });
    expect(sessions.size).toBe(0);
    expect(received.filter(({ payload }) => payload.case === "heartbeat").length).toBeGreaterThan(
      1,
    );
  });

  it("lasts while messages of any kind come", async () => {
    const { clock, messages, session } = await accepted();
    for (let minute = 0; minute < 60; minute += 1) {
      messages.send(
        minute % 2 === 0
          ? heartbeat
          : create(SupervisorMessageSchema, {
              payload: { case: "relayOpenResult", value: { channelId: "x", success: true } },
            }),
      );
      await clock.advance(20_000);
    }
    expect(session.ended.aborted).toBe(false);
  });

  it.each([
    ["its stream is lost", "supervisor connection lost"],
    ["the supervisor ends it", "supervisor ended its session"],
    ["its RPC aborts", "supervisor connection lost"],
    ["the gateway's scope ends", "supervisor connection lost"],
  ])("ends at once when %s", async (what, message) => {
    const { messages, abort, scope, session, sessions, clock } = await accepted();
    if (what === "its stream is lost") messages.fail(new Error("read ECONNRESET"));
    if (what === "the supervisor ends it") messages.end();
    if (what === "its RPC aborts") abort.abort(new Error("stream closed"));
    if (what === "the gateway's scope ends") scope.abort(new Error("stopped"));
    await until(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({ kind: "session_lost", message });
    expect(sessions.size).toBe(0);
    messages.end();
    await scope.idle();
    expect(clock.pendingTimers).toBe(0);
  });

  it("is lost by a supervisor that does not read what it is sent", async () => {
    const { session, stopReading } = await accepted({ limits: { sessionOutboxMessages: 5 } });
    stopReading();
    for (let sent = 0; sent < 8; sent += 1) session.send({ case: "heartbeat", value: {} });
    expect(session.ended.reason).toMatchObject({
      kind: "session_lost",
      message: "supervisor does not read its control stream",
    });
  });

  it("ends with a second hello", async () => {
    const { messages, end } = await accepted();
    messages.send(hello());
    expect(await end).toMatchObject({
      kind: "session_lost",
      message: expect.stringContaining("hello is the first message") as string,
    });
  });

  it("does not mind a message of a newer supervisor", async () => {
    const { messages, session } = await accepted();
    messages.send(create(SupervisorMessageSchema));
    await settled();
    expect(session.ended.aborted).toBe(false);
  });

  it("is superseded by the sandbox's next one, and says so", async () => {
    const { end, sessions, session } = await accepted();
    sessions.add(testSession());
    expect(await end).toMatchObject({ kind: "session_superseded" });
    expect(session.ended.reason).toBeInstanceOf(BelayError);
  });

  it("is logged when it begins and when it ends, with its reason", async () => {
    const { messages, lines, end } = await accepted();
    messages.end();
    await end;
    expect(lines.map(({ event }) => event)).toEqual(["session.accepted", "session.ended"]);
    expect(lines[1]!.fields).toMatchObject({ sandboxId: "sb-1", kind: "session_lost" });
  });
});
