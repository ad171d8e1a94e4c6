import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { abortListeners } from "../support/abort-listeners.ts";
import { connectionsScene } from "../support/connections-scene.ts";
import { FakeSupervisor } from "../support/fake-supervisor.ts";
import { isSettled, rejection, settled, until } from "@belay/relay-core/testing";
import { never } from "../support/test-limits.ts";

const noSpare = { spareChannels: 0 };

describe("ExecConnections", () => {
  it("opens one connection for all who come at once, and for those who come later", async () => {
    const { openMany, open, supervisor, connections, relays } = connectionsScene();
    await openMany(10);
    await open();
    expect(supervisor.channelIds).toHaveLength(1);
    expect([connections.size, relays.size]).toEqual([1, 1]);
  });

  it("has a connection of its own for each session", async () => {
    const one = connectionsScene();
    await one.open();
    const other = new FakeSupervisor(one.relays, {}, { sandboxId: "sb-2" });
    const there = await one.connections.open(other.session, { signal: never });
    expect(there.ids).toMatchObject({ sandboxId: "sb-2", channelId: other.channelIds[0] });
    expect(one.connections.size).toBe(2);
  });

  it("takes another relay when the first one has no room, opening or open", async () => {
    const { openMany, open, supervisor } = connectionsScene({}, { execsPerConnection: 3 });
    await openMany(4);
    expect(supervisor.channelIds).toHaveLength(2);
    await openMany(2);
    expect(supervisor.channelIds).toHaveLength(2);
    await open();
    expect(supervisor.channelIds).toHaveLength(3);
    const perRelay = supervisor.channelIds.map(
      (id) => supervisor.subsystems.filter(({ relay }) => relay.channelId === id).length,
    );
    expect(Math.max(...perRelay)).toBe(3);
  });

  it("gives a place to the next one only when the supervisor has closed the channel too", async () => {
    const { open, supervisor } = connectionsScene({}, { execsPerConnection: 1, ...noSpare });
    const first = await open();
    supervisor.subsystems[0]!.sendOutput("stdout", 0, "unread");
    await settled();
    first[Symbol.dispose]();
    await open(); // the close is still on its way
    expect(supervisor.channelIds).toHaveLength(2);
    await until(() => supervisor.subsystems[0]!.closed);
    await settled();
    await open();
    expect(supervisor.channelIds).toHaveLength(2);
  });

  it("keeps channels ready, and makes up for those that were used", async () => {
    const { open, supervisor } = connectionsScene({}, { spareChannels: 2 });
    const first = await open();
    await until(() => supervisor.subsystems.length === 3);
    await settled();
    const opening = open();
    expect(await isSettledInThisTurn(opening)).toBe(true);
    first[Symbol.dispose]();
    await until(() => supervisor.subsystems.length === 4);
    (await opening)[Symbol.dispose]();
    await settled();
    expect(supervisor.subsystems).toHaveLength(4);
  });

  it("gives nobody a spare channel that the supervisor has closed", async () => {
    const { open, supervisor } = connectionsScene({}, { spareChannels: 1 });
    await open();
    await until(() => supervisor.subsystems.length === 2);
    await settled();
    supervisor.subsystems[1]!.close();
    await until(() => supervisor.subsystems[1]!.closed);
    await settled();
    expect(supervisor.subsystems).toHaveLength(2);
    const here = await open();
    await here.send({ execId: "e", payload: { case: "get", value: {} } }, { signal: never });
    await until(() => supervisor.conversations.length === 1);
    expect(supervisor.conversations[0]).not.toBe(supervisor.subsystems[1]);
  });

  it("closes a connection that was idle for its time, spare channels and all", async () => {
    const { open, clock, connections, relays } = connectionsScene();
    const here = await open();
    await clock.advance(120_000);
    expect(connections.size).toBe(1);
    here[Symbol.dispose]();
    await clock.advance(59_999);
    expect(connections.size).toBe(1);
    await clock.advance(1);
    expect([connections.size, relays.size]).toEqual([0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("counts the idle time from the last use", async () => {
    const { open, clock, supervisor, connections } = connectionsScene();
    (await open())[Symbol.dispose]();
    await clock.advance(40_000);
    (await open())[Symbol.dispose]();
    await clock.advance(40_000);
    expect(connections.size).toBe(1);
    expect(supervisor.channelIds).toHaveLength(1);
  });

  it("leaves no trace of a connection that was lost, and opens another", async () => {
    const { open, supervisor, connections } = connectionsScene();
    await open();
    supervisor.subsystems[0]!.relay.fail(new BelayError("relay_dropped", "cut"));
    expect(connections.size).toBe(0);
    await open();
    expect(supervisor.channelIds).toHaveLength(2);
  });

  it("lets all hear of a server that answers nothing any more, within its bound", async () => {
    const { openMany, supervisor, clock, relays } = connectionsScene();
    const all = await openMany(64);
    const ends = all.map((one) => rejection(one.next({ signal: never })));
    const { pipe } = supervisor.subsystems[0]!;
    pipe.pause(); // a wedged server: nothing is read, nothing closes
    pipe.removeAllListeners("data");
    await clock.advance(44_000);
    expect(await isSettled(Promise.race(ends))).toBe(false);
    await clock.advance(4_000);
    for (const end of ends) {
      expect(await end).toMatchObject({
        kind: "relay_lost",
        cause: { message: "ssh keepalive unanswered" },
      });
    }
    expect(relays.size).toBe(0);
  });

  it("keeps one conversation's full window from all others", async () => {
    const { talk } = connectionsScene();
    const stuck = await talk("stuck");
    stuck.there.stopReading();
    const data = Buffer.alloc(4 * 1024 * 1024 - 100);
    const input = { payload: { case: "stdin", value: { data } } } as const;
    const sending = stuck.here.send(input, { signal: never });
    for (let sent = 0; stuck.there.channel.writableLength === 0; sent += 32_000) {
      stuck.there.sendOutput("stdout", sent, Buffer.alloc(32_000));
      await settled();
    }
    const other = await talk("other");
    other.there.send({ payload: { case: "endOfLog", value: {} } });
    expect((await other.here.next({ signal: never })).payload.case).toBe("endOfLog");
    expect(await isSettled(sending)).toBe(false);
  });

  describe("while a connection is being opened", () => {
    it("leaves it to the others when one caller goes", async () => {
      const { open, supervisor } = connectionsScene({ onRelayOpen: () => {} });
      const abort = new AbortController();
      const gone = rejection(open(abort.signal));
      const stays = open();
      await settled();
      const reason = new BelayError("canceled", "enough");
      abort.abort(reason);
      expect(await gone).toBe(reason);
      expect(abortListeners(abort.signal)).toBe(0);
      supervisor.claim(supervisor.channelIds[0]!);
      await stays;
      expect(supervisor.channelIds).toHaveLength(1);
    });

    it("gives it up when the last caller has gone", async () => {
      const { open, supervisor, connections, relays } = connectionsScene({ onRelayOpen: () => {} });
      const abort = new AbortController();
      const ends = [rejection(open(abort.signal)), rejection(open(abort.signal))];
      await settled();
      abort.abort(new BelayError("canceled", "enough"));
      await Promise.all(ends);
      await settled();
      expect([connections.size, relays.size]).toEqual([0, 0]);
      expect(supervisor.received).toEqual(["relayOpen", "relayClose"]);
    });

    it("opens none for a caller that is gone already", async () => {
      const { open, connections } = connectionsScene();
      const reason = new BelayError("canceled", "gone");
      expect(await rejection(open(AbortSignal.abort(reason)))).toBe(reason);
      expect(connections.size).toBe(0);
    });

    it.each([
      ["no relay comes", "relay_open_timeout"],
      ["nobody speaks SSH", "ssh_handshake_failed"],
    ])("fails all who wait when %s", async (what, kind) => {
      const script = what === "no relay comes" ? { onRelayOpen: () => {} } : { onRelay: () => {} };
      const { open, clock, connections } = connectionsScene(script);
      const ends = [rejection(open()), rejection(open())];
      await clock.advance(9_999);
      expect(await isSettled(Promise.race(ends))).toBe(false);
      await clock.advance(1);
      for (const end of ends) expect(await end).toMatchObject({ kind, outcome: "not_started" });
      expect([connections.size, clock.pendingTimers]).toEqual([0, 0]);
    });

    it("fails all who wait at once when the session ends", async () => {
      const { open, supervisor } = connectionsScene({ onRelay: () => {} });
      const end = rejection(open());
      await settled();
      supervisor.session.end(new BelayError("session_lost", "gone"));
      expect(await end).toMatchObject({ kind: "relay_dropped", outcome: "not_started" });
    });
  });

  describe("while a channel is being opened", () => {
    it("fails who waits when the supervisor refuses the subsystem, and goes on with others", async () => {
      let refuses = true;
      const { open, supervisor } = connectionsScene(
        { onSubsystem: (accept, reject) => void (refuses ? reject() : accept()) },
        noSpare,
      );
      const error = { kind: "exec_start_failed", outcome: "not_started" };
      expect(await rejection(open())).toMatchObject(error);
      refuses = false;
      await open();
      expect(supervisor.channelIds).toHaveLength(1);
    });

    it("does not ask again and again for spare ones that are refused", async () => {
      let asked = 0;
      const { open } = connectionsScene({
        onSubsystem: (accept, reject) => void ((asked += 1) === 1 ? accept() : reject()),
      });
      await open();
      await settled();
      await settled();
      expect(asked).toBe(1 + 4);
    });

    it("fails within the limit when nobody answers, and asks that server no more", async () => {
      let answers = true;
      const { open, supervisor, clock, connections } = connectionsScene(
        { onSubsystem: (accept) => void (answers && accept()) },
        noSpare,
      );
      const running = await open();
      answers = false;
      const end = rejection(open());
      await clock.advance(9_999);
      expect(await isSettled(end)).toBe(false);
      await clock.advance(1);
      expect(await end).toMatchObject({ kind: "exec_start_timeout", outcome: "not_started" });
      answers = true;
      await open();
      expect(supervisor.channelIds).toHaveLength(2);
      expect(connections.size).toBe(2);
      running[Symbol.dispose]();
      expect(connections.size).toBe(1);
    });

    it("fails at once with the connection, as not started", async () => {
      const { open, supervisor } = connectionsScene({ onSubsystem: () => {} });
      const end = rejection(open());
      await until(() => supervisor.channelIds.length === 1);
      await settled();
      supervisor.session.end(new BelayError("session_lost", "gone"));
      expect(await end).toMatchObject({
        kind: "relay_lost",
        outcome: "not_started",
        ids: { channelId: supervisor.channelIds[0] },
      });
    });

    it("closes the channel of a caller that has gone", async () => {
      const held: (() => void)[] = [];
      const { open, supervisor } = connectionsScene(
        { onSubsystem: (accept) => void held.push(accept) },
        noSpare,
      );
      const abort = new AbortController();
      const end = rejection(open(abort.signal));
      await until(() => held.length === 1);
      abort.abort(new BelayError("canceled", "enough"));
      await end;
      held[0]!();
      await until(() => supervisor.subsystems[0]!.closed);
      expect(supervisor.subsystems).toHaveLength(1);
    });

    it("loses no channel that comes in the turn of its caller's abort", async () => {
      // Between the answer and the caller lie a few promises: the abort comes at each of them.
      for (let hops = 0; hops < 30; hops += 1) {
        let answer: (() => void) | undefined;
        const { open, supervisor, clock, connections } = connectionsScene(
          { onSubsystem: (accept) => void (answer = accept) },
          noSpare,
        );
        const abort = new AbortController();
        const opening = open(abort.signal).then(
          (conversation) => conversation[Symbol.dispose](),
          () => {},
        );
        await until(() => answer !== undefined);
        supervisor.relays[0]!.pipe.once("data", () => void abortAfter(hops, abort));
        answer!();
        await opening;
        await until(() => supervisor.subsystems[0]!.closed);
        await clock.advance(60_000);
        expect(connections.size).toBe(0);
      }
    });

    it("closes a channel that comes too late", async () => {
      const held: (() => void)[] = [];
      const { open, supervisor, clock } = connectionsScene(
        { onSubsystem: (accept) => void (held.length === 0 ? accept() : held.push(accept)) },
        noSpare,
      );
      await open();
      held.push(() => {});
      const end = rejection(open());
      await until(() => held.length === 2);
      await clock.advance(10_000);
      expect(await end).toMatchObject({ kind: "exec_start_timeout" });
      held[1]!();
      await until(() => supervisor.subsystems[1]!.closed);
      expect(supervisor.subsystems[0]!.closed).toBe(false);
    });
  });

  it("ends all of them at its disposal, and opens no more", async () => {
    const { open, connections, relays, clock } = connectionsScene();
    const here = await open();
    const end = rejection(here.next({ signal: never }));
    await connections[Symbol.asyncDispose]();
    expect(await end).toMatchObject({ kind: "relay_lost" });
    expect([connections.size, relays.size, clock.pendingTimers]).toEqual([0, 0, 0]);
    expect(await rejection(open())).toMatchObject({ kind: "relay_lost", outcome: "not_started" });
    expect(connections.size).toBe(0);
  });
});

/** Whether it needs no more than promises: no answer of anybody. */
async function isSettledInThisTurn(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => (settled = true));
  for (let hop = 0; hop < 8; hop += 1) await Promise.resolve();
  return settled;
}

async function abortAfter(hops: number, abort: AbortController): Promise<void> {
  for (let hop = 0; hop < hops; hop += 1) await Promise.resolve();
  abort.abort(new BelayError("canceled", "enough"));
}
