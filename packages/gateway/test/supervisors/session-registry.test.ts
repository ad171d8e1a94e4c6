import { BelayError } from "@belay/protocol";
import { ManualClock, isSettled, rejection, settled } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { never, testLimits } from "../support/test-limits.ts";
import { testSession } from "../support/test-session.ts";

function registryScene(sessions = 10) {
  const clock = new ManualClock();
  const registry = new SessionRegistry(testLimits({ sessions, sessionWaitMs: 15_000 }), clock);
  return { clock, registry };
}

const gone = () => new BelayError("session_lost", "gone");

describe("SessionRegistry", () => {
  it("gives the session that is there at once", async () => {
    const { registry, clock } = registryScene();
    const session = testSession();
    registry.add(session);
    expect(await registry.waitFor("sb-1", { signal: never })).toBe(session);
    expect(clock.pendingTimers).toBe(0);
  });

  it("wakes everybody who waits for the sandbox, and nobody else", async () => {
    const { registry } = registryScene();
    const waits = [1, 2].map(() => registry.waitFor("sb-1", { signal: never }));
    const other = rejection(registry.waitFor("sb-2", { signal: never }));
    await settled();
    const session = testSession();
    registry.add(session);
    expect(await Promise.all(waits)).toEqual([session, session]);
    expect(await isSettled(other)).toBe(false);
  });

  it("gives up after the limit, with OpenShell's words", async () => {
    const { clock, registry } = registryScene();
    const end = rejection(registry.waitFor("sb-1", { signal: never }));
    await clock.advance(14_999);
    expect(await isSettled(end)).toBe(false);
    await clock.advance(1);
    expect(await end).toMatchObject({
      kind: "session_wait_timeout",
      message: "supervisor relay failed: no supervisor session within 15000 ms",
      ids: { sandboxId: "sb-1" },
    });
  });

  it("waits as long as it is told to", async () => {
    const { clock, registry } = registryScene();
    const end = rejection(registry.waitFor("sb-1", { signal: never, limitMs: 20_000 }));
    await clock.advance(19_999);
    expect(await isSettled(end)).toBe(false);
    await clock.advance(1);
    expect(await end).toMatchObject({ kind: "session_wait_timeout" });
  });

  it("stops waiting at the signal, with its reason", async () => {
    const { clock, registry } = registryScene();
    const abort = new AbortController();
    const end = rejection(registry.waitFor("sb-1", { signal: abort.signal }));
    await settled();
    abort.abort(new BelayError("canceled", "enough"));
    expect(await end).toMatchObject({ kind: "canceled" });
    expect(clock.pendingTimers).toBe(0);
  });

  it("lets a newer session supersede the older one, which hears why", () => {
    const { registry } = registryScene();
    const [older, newer] = [testSession(), testSession()];
    registry.add(older);
    registry.add(newer);
    expect(registry.current("sb-1")).toBe(newer);
    expect(older.ended.reason).toMatchObject({
      kind: "session_superseded",
      ids: { sessionId: older.id },
    });
    expect(registry.size).toBe(1);
  });

  it("keeps the newer session when the older one ends late", () => {
    const { registry } = registryScene();
    const [older, newer] = [testSession(), testSession()];
    registry.add(older);
    registry.add(newer);
    older.end(gone());
    expect(registry.current("sb-1")).toBe(newer);
  });

  it("forgets a session that has ended, but not that it was seen", () => {
    const { registry } = registryScene();
    const session = testSession();
    expect(registry.wasSeen("sb-1")).toBe(false);
    registry.add(session);
    session.end(gone());
    expect(registry.current("sb-1")).toBeUndefined();
    expect(registry.wasSeen("sb-1")).toBe(true);
  });

  it("takes no more sessions than its limit, but lets a known sandbox reconnect", () => {
    const { registry } = registryScene(1);
    const session = testSession("sb-1");
    registry.add(session);
    expect(() => registry.add(testSession("sb-2"))).toThrow(
      expect.objectContaining({ kind: "limit_exceeded", message: "at most 1 sessions" }),
    );
    const again = testSession("sb-1");
    registry.add(again);
    again.end(gone());
    registry.add(testSession("sb-2"));
    expect(registry.size).toBe(1);
  });
});
