// forward-tcp.test.ts: who may forward and where to: each refusal with its text.
import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { forwardScene, tcpInit } from "../support/forward-scene.ts";
import { isSettled, settled } from "@belay/relay-core/testing";

describe("ForwardTcp", () => {
  it("refuses a stream without a frame, or with another first", async () => {
    await using scene = await forwardScene();
    const [empty, wrong] = [scene.call(), scene.call()];
    empty.frames.end();
    wrong.send("data");
    expect(await empty.ended).toMatchObject({ message: "empty ForwardTcp stream" });
    expect(await wrong.ended).toMatchObject({ message: "first TcpForwardFrame must be init" });
  });

  it("waits for the first frame no longer than its limit", async () => {
    await using scene = await forwardScene();
    const { ended } = scene.call();
    await scene.clock.advance(9_999);
    expect(await isSettled(ended)).toBe(false);
    await scene.clock.advance(1);
    expect(await ended).toMatchObject({ kind: "protocol_violation" });
  });

  it("refuses a sandbox that is not known", async () => {
    await using scene = await forwardScene();
    const { ended } = await scene.forward({ sandboxId: "other" });
    expect(await ended).toMatchObject({ kind: "sandbox_not_found", message: "sandbox not found" });
  });

  it.each([
    ["", "authorization_token is required for ForwardTcp"],
    ["  ", "authorization_token is required for ForwardTcp"],
    ["nonsense", "SSH session token not found"],
  ])("refuses the token %j", async (authorizationToken, message) => {
    await using scene = await forwardScene();
    for (const target of [tcpInit("").target!, { case: "ssh", value: {} } as const]) {
      const { ended } = await scene.forward({ authorizationToken, target });
      expect(await ended).toMatchObject({ kind: "unauthenticated", message });
    }
    expect(scene.supervisor.received).toEqual([]);
  });

  it("refuses a token that has expired, and another sandbox's", async () => {
    await using scene = await forwardScene({ limits: { sshSessionMs: 1_000 } });
    const other = await scene.sshSessions.create("sb-2");
    expect(await (await scene.forward({ authorizationToken: other.token })).ended).toMatchObject({
      message: "SSH session token not found",
    });
    const { token } = await scene.sshSessions.create("sb-1");
    await scene.clock.advance(1_000);
    expect(await (await scene.forward({ authorizationToken: token })).ended).toMatchObject({
      kind: "unauthenticated",
      message: "SSH session token expired",
    });
  });

  it("refuses what is beyond a token's connections, until one of them has ended", async () => {
    await using scene = await forwardScene();
    const { token } = await scene.sshSessions.create("sb-1");
    const open = await Promise.all(
      [1, 2, 3].map(() => scene.forward({ authorizationToken: token })),
    );
    await scene.target(2);
    const fourth = await scene.forward({ authorizationToken: token });
    expect(await fourth.ended).toMatchObject({
      kind: "limit_exceeded",
      message: "SSH session connection limit reached",
    });
    open[0]!.caller.abort();
    await open[0]!.ended;
    await settled();
    await scene.forward({ authorizationToken: token });
    await scene.target(3);
  });

  it("refuses all while the gateway drains", async () => {
    await using scene = await forwardScene();
    scene.forwards.drain();
    expect(await (await scene.forward()).ended).toMatchObject({ kind: "gateway_draining" });
  });

  it("asks for the SSH server by a name that tells it from the gateway's own execs", async () => {
    await using scene = await forwardScene();
    await scene.forward({ target: { case: "ssh", value: {} } });
    await scene.target();
    expect(scene.supervisor.opens[0]).toMatchObject({
      target: { case: "ssh" },
      serviceId: "ssh-session",
    });
    await scene.forward({ target: { case: "tcp", value: { host: "::1", port: 81 } } });
    await scene.target(1);
    expect(scene.supervisor.opens[1]).toMatchObject({
      target: { case: "tcp", value: { host: "::1", port: 81 } },
      serviceId: "",
    });
  });

  it("says why the supervisor refuses the target", async () => {
    const why = "tcp target refused the connection: nothing listens on port 80";
    await using scene = await forwardScene({
      onRelayOpen: (id) => scene.relays.refused(id, why, scene.supervisor.session),
    });
    expect(await (await scene.forward()).ended).toMatchObject({
      kind: "relay_refused",
      message: why,
      outcome: "not_started",
    });
    expect(scene.forwards.open).toBe(0);
  });

  it("waits for the sandbox's session, and no longer than its limit", async () => {
    await using scene = await forwardScene({ session: false });
    const { ended } = await scene.forward();
    await settled();
    await scene.clock.advance(15_000);
    expect(await ended).toMatchObject({
      kind: "session_wait_timeout",
      message: "supervisor relay failed: no supervisor session within 15000 ms",
    });
  });

  it("waits for the relay no longer than its limit", async () => {
    await using scene = await forwardScene({ onRelayOpen: () => {} });
    const { ended } = await scene.forward();
    await settled();
    await scene.clock.advance(10_000);
    expect(await ended).toMatchObject({
      kind: "relay_open_timeout",
      message: "relay open timed out",
    });
  });

  it("opens a burst of forwards one turn after the other, and refuses none", async () => {
    const waiting: string[] = [];
    await using scene = await forwardScene({
      limits: { forwardsOpeningPerSandbox: 2, pendingRelaysPerSandbox: 3 },
      onRelayOpen: (id) => waiting.push(id),
    });
    const burst = await Promise.all(Array.from({ length: 7 }, () => scene.forward()));
    await settled();
    const atOnce: number[] = [];
    while (waiting.length > 0) {
      atOnce.push(waiting.length);
      scene.supervisor.claim(waiting.shift()!);
      await settled();
    }
    expect(Math.max(...atOnce)).toBe(2);
    expect(scene.opened).toHaveLength(burst.length);
  });

  it("writes no token into the log", async () => {
    await using scene = await forwardScene();
    const { token } = await scene.sshSessions.create("sb-1");
    const running = await scene.forward({ authorizationToken: token });
    await scene.target();
    running.caller.abort();
    await running.ended;
    await settled();
    expect(scene.lines.map(({ event }) => event)).toEqual(["forward.opened", "forward.failed"]);
    expect(JSON.stringify(scene.lines)).not.toContain(token);
    expect(scene.lines.map(({ fields }) => String(fields["err"])).join()).not.toContain(token);
  });

  it("ends what runs when the gateway stops waiting for it", async () => {
    await using scene = await forwardScene();
    const running = await scene.forward();
    await scene.target();
    scene.stopping.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await running.ended).toMatchObject({ kind: "gateway_stopping", outcome: "unknown" });
  });
});
