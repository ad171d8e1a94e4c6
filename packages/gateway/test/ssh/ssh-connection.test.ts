import { BelayError } from "@belay/protocol";
import { ManualClock, isSettled, rejection, settled } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { Relay } from "../../src/relays/relay.ts";
import { SshConnection } from "../../src/ssh/ssh-connection.ts";
import { abortListeners } from "../support/abort-listeners.ts";
import { never, testLimits } from "../support/test-limits.ts";

function claimedRelay(): Relay {
  const relay = new Relay({
    channelId: "ch-1",
    sandboxId: "sb-1",
    sessionId: "se-1",
    target: "ssh",
    marksEnds: true,
    deliver: () => {},
    onEnd: () => {},
  });
  relay.claim();
  return relay;
}

function open(relay: Relay, { clock = new ManualClock(), signal = never } = {}) {
  return rejection(SshConnection.open(relay, testLimits(), clock, { signal }));
}

describe("the SSH handshake on a relay", () => {
  it("fails at once on a relay that has ended already", async () => {
    const relay = claimedRelay();
    relay.fail(new BelayError("relay_dropped", "relay channel dropped"));
    await settled();
    expect(await open(relay)).toMatchObject({
      kind: "relay_dropped",
      message: "relay channel dropped",
      ids: { channelId: "ch-1" },
    });
  });

  it("fails at once when the relay ends, for its reason", async () => {
    const relay = claimedRelay();
    const end = open(relay);
    await settled();
    relay.fail(new BelayError("supervisor_stopping", "draining"));
    expect(await end).toMatchObject({ kind: "supervisor_stopping", message: "draining" });
  });

  it("fails at once when the supervisor ends its side", async () => {
    const relay = claimedRelay();
    const end = open(relay);
    await settled();
    relay.pipe.receiveEnd();
    expect(await end).toMatchObject({ kind: "relay_dropped" });
  });

  it("fails within its limit when nobody answers, and lets the relay go", async () => {
    const relay = claimedRelay();
    const clock = new ManualClock();
    const end = open(relay, { clock });
    await clock.advance(9_999);
    expect(await isSettled(end)).toBe(false);
    await clock.advance(1);
    expect(await end).toMatchObject({
      kind: "ssh_handshake_failed",
      message: "SSH handshake: no answer within 10000 ms",
    });
    expect(relay.state.is).toBe("ended");
    expect(clock.pendingTimers).toBe(0);
  });

  it("is left at the caller's abort, with its reason and no listener", async () => {
    const relay = claimedRelay();
    const abort = new AbortController();
    const end = open(relay, { signal: abort.signal });
    await settled();
    const reason = new BelayError("canceled", "enough");
    abort.abort(reason);
    expect(await end).toBe(reason);
    expect(abortListeners(abort.signal)).toBe(0);
    expect(relay.state.is).toBe("ended");
  });
});
