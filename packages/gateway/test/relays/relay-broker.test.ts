import { BelayError } from "@belay/protocol";
import { ManualClock, isSettled, rejection, settled } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import type { RelayTarget } from "../../src/relays/relay.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { abortListeners } from "../support/abort-listeners.ts";
import { relayOpens } from "../support/relay-opens.ts";
import { never, testLimits } from "../support/test-limits.ts";
import { testSession } from "../support/test-session.ts";

function brokerScene(limits: Partial<GatewayLimits> = {}, sessionFanout = true) {
  const clock = new ManualClock();
  const broker = new RelayBroker(testLimits(limits), clock, { sessionFanout });
  const session = testSession();
  const sent = relayOpens(session);
  return { clock, broker, session, sent };
}

const unknown = {
  kind: "relay_not_found",
  message: "unknown or expired relay channel",
};

describe("RelayBroker", () => {
  it("pairs the RelayOpen that it sends with the claim that answers it", async () => {
    const { broker, session, sent, clock } = brokerScene();
    const opening = broker.open(session, { signal: never });
    await settled();
    const [channelId] = sent.opened;
    const claimed = broker.claim(channelId!, "sb-1");
    expect(await opening).toBe(claimed);
    expect(claimed).toMatchObject({ channelId, sandboxId: "sb-1", sessionId: session.id });
    expect(claimed.state).toEqual({ is: "open" });
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives up when nobody claims within the limit, and tells the supervisor", async () => {
    const { clock, broker, session, sent } = brokerScene();
    const end = rejection(broker.open(session, { signal: never }));
    await clock.advance(9_999);
    expect(await isSettled(end)).toBe(false);
    await clock.advance(1);
    expect(await end).toMatchObject({
      kind: "relay_open_timeout",
      message: "relay open timed out",
      outcome: "not_started",
    });
    await settled();
    expect(sent.closed).toEqual(sent.opened);
    expect(() => broker.claim(sent.opened[0]!, "sb-1")).toThrow(expect.objectContaining(unknown));
  });

  it("passes the supervisor's refusal on", async () => {
    const { broker, session, sent } = brokerScene();
    const end = rejection(broker.open(session, { signal: never }));
    await settled();
    broker.refused(sent.opened[0]!, "no SSH server here", session);
    expect(await end).toMatchObject({ kind: "relay_refused", message: "no SSH server here" });
    expect(broker.size).toBe(0);
  });

  it("asks for the SSH server unless it is told another target, and says what for", async () => {
    const { broker, session } = brokerScene();
    const asked: unknown[] = [];
    void (async () => {
      for await (const { payload } of session.outbox) {
        if (payload.case === "relayOpen") asked.push(payload.value);
      }
    })().catch(() => {});
    const tcp = { case: "tcp", value: { host: "::1", port: 80 } } as const;
    const opening = [
      rejection(broker.open(session, { signal: never })),
      rejection(broker.open(session, { signal: never, target: tcp, serviceId: "test" })),
    ];
    await settled();
    expect(asked).toMatchObject([
      { target: { case: "ssh" }, serviceId: "" },
      { target: tcp, serviceId: "test" },
    ]);
    session.end(new BelayError("session_lost", "over"));
    await Promise.all(opening);
  });

  it.each([
    ["ssh", "supervisor_stopping"],
    ["tcp", "relay_lost"],
  ] as const)("says of a relay to %s that was taken back: %s", async (target, kind) => {
    const { broker, session, sent } = brokerScene();
    const value = target === "ssh" ? {} : { host: "127.0.0.1", port: 80 };
    const options = { signal: never, target: { case: target, value } as RelayTarget };
    const opening = broker.open(session, options);
    await settled();
    const relay = broker.claim(sent.opened[0]!, "sb-1");
    await opening;
    broker.closedBySupervisor(relay.channelId, "why", session);
    expect(relay.ended.reason).toMatchObject({ kind, message: "why" });
  });

  it("hears a refusal only from the session that was asked", async () => {
    const { broker, session, sent } = brokerScene();
    const opening = broker.open(session, { signal: never });
    await settled();
    broker.refused(sent.opened[0]!, "not yours", testSession());
    broker.closedBySupervisor(sent.opened[0]!, "not yours", testSession());
    expect(broker.claim(sent.opened[0]!, "sb-1")).toBe(await opening);
  });

  it.each([
    ["a second claim", (id: string) => [id, "sb-1"]],
    ["a claim by another sandbox", (id: string) => [id, "sb-2"]],
    ["a claim of an unknown channel", () => ["nope", "sb-1"]],
  ] as [string, (id: string) => [string, string]][])("refuses %s", async (what, claimOf) => {
    const { broker, session, sent } = brokerScene();
    const opening = broker.open(session, { signal: never });
    await settled();
    const [channelId] = sent.opened;
    if (what === "a second claim") broker.claim(channelId!, "sb-1");
    expect(() => broker.claim(...claimOf(channelId!))).toThrow(expect.objectContaining(unknown));
    if (what !== "a second claim") broker.claim(channelId!, "sb-1");
    expect((await opening).state).toEqual({ is: "open" });
  });

  it.each([
    ["per sandbox", { pendingRelaysPerSandbox: 2, pendingRelays: 10 }],
    ["in all", { pendingRelaysPerSandbox: 10, pendingRelays: 2 }],
  ])("lets only so many wait %s, open ones not counted", async (_what, limits) => {
    const { broker, session, sent } = brokerScene(limits);
    const opening = [1, 2].map(() => broker.open(session, { signal: never }));
    await settled();
    await expect(broker.open(session, { signal: never })).rejects.toMatchObject({
      kind: "limit_exceeded",
      outcome: "not_started",
    });
    broker.claim(sent.opened[0]!, "sb-1");
    opening.push(broker.open(session, { signal: never }));
    await settled();
    for (const id of sent.opened.slice(1)) broker.claim(id, "sb-1");
    await Promise.all(opening);
  });

  it("counts the pending relays of each sandbox for itself", async () => {
    const { broker, session } = brokerScene({ pendingRelaysPerSandbox: 1 });
    rejection(broker.open(session, { signal: never })).catch(() => {});
    const other = testSession("sb-2");
    const sent = relayOpens(other);
    const opening = broker.open(other, { signal: never });
    await settled();
    broker.claim(sent.opened[0]!, "sb-2");
    expect(await opening).toMatchObject({ sandboxId: "sb-2" });
  });

  it("fails the pending and the open relays of a session at once when it ends", async () => {
    const { broker, session, sent, clock } = brokerScene();
    const opening = broker.open(session, { signal: never });
    const pending = rejection(broker.open(session, { signal: never }));
    await settled();
    broker.claim(sent.opened[0]!, "sb-1");
    const open = await opening;
    const cause = new BelayError("session_lost", "gone");
    session.end(cause);
    expect(open.ended.reason).toMatchObject({
      kind: "relay_dropped",
      message: "relay channel dropped",
      cause,
    });
    expect(open.pipe.destroyed).toBe(true);
    expect(await pending).toMatchObject({ kind: "relay_dropped", outcome: "not_started" });
    expect([broker.size, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("does not touch the relays of another session", async () => {
    const { broker, session, sent } = brokerScene();
    const opening = broker.open(session, { signal: never });
    await settled();
    const relay = broker.claim(sent.opened[0]!, "sb-1");
    await opening;
    testSession().end(new BelayError("session_superseded", "older"));
    expect(relay.state.is).toBe("open");
  });

  it("fails at once on a session that has ended already", async () => {
    const { broker, session } = brokerScene();
    session.end(new BelayError("session_lost", "gone"));
    await expect(broker.open(session, { signal: never })).rejects.toMatchObject({
      kind: "relay_dropped",
    });
    expect(broker.size).toBe(0);
  });

  it("asks for nothing when the caller is gone already", async () => {
    const { broker, session, sent } = brokerScene();
    const signal = AbortSignal.abort(new BelayError("canceled", "gone"));
    await expect(broker.open(session, { signal })).rejects.toMatchObject({ kind: "canceled" });
    await settled();
    expect(sent.opened).toEqual([]);
  });

  it("takes an unwanted relay back when the caller goes while it is opened", async () => {
    const { broker, session, sent } = brokerScene();
    const abort = new AbortController();
    const end = rejection(broker.open(session, { signal: abort.signal }));
    await settled();
    abort.abort(new BelayError("canceled", "gone"));
    expect(await end).toMatchObject({ kind: "canceled" });
    await settled();
    expect(sent.closed).toEqual(sent.opened);
    expect(broker.size).toBe(0);
  });

  it("leaves no listener on the session when a relay has ended", async () => {
    const { broker, session, sent } = brokerScene();
    const before = abortListeners(session.ended);
    for (let round = 0; round < 3; round += 1) {
      const opening = broker.open(session, { signal: never });
      await settled();
      broker.claim(sent.opened[round]!, "sb-1");
      (await opening)[Symbol.dispose]();
    }
    expect(abortListeners(session.ended)).toBe(before);
    expect(broker.size).toBe(0);
  });

  it("without its fanout relays outlive their session (the fault test's switch)", async () => {
    const { broker, session, sent } = brokerScene({}, false);
    const opening = broker.open(session, { signal: never });
    await settled();
    broker.claim(sent.opened[0]!, "sb-1");
    const relay = await opening;
    session.end(new BelayError("session_lost", "gone"));
    expect(relay.state.is).toBe("open");
  });
});
