import { BelayError, toConnectError } from "@belay/protocol";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import type { Forward } from "../src/index.ts";
import { defaultLimits } from "../src/index.ts";
import type { FakeTarget } from "../src/testing/index.ts";
import { failureOf, numbers, scene } from "./support/scene.ts";

const encoder = new TextEncoder();

const echo: FakeTarget = (input) => input;
/** Answers with what it was sent, all at once, after the end. */
const cat: FakeTarget = async function* (input) {
  const all: Uint8Array[] = [];
  for await (const data of input) all.push(data);
  yield* all;
};
const greeter: FakeTarget = async function* () {
  yield encoder.encode("hello");
};
const lastWords: FakeTarget = async function* (input) {
  for await (const _ of input);
  yield encoder.encode("bye");
};

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield encoder.encode(text);
}

/** An input that stays open. */
const open: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }),
};

async function receiveAll(forward: Forward): Promise<string> {
  let text = "";
  for (let data = await forward.receive(); data; data = await forward.receive()) {
    text += new TextDecoder().decode(data);
  }
  return text;
}

function forwardScene(targets: Record<number, FakeTarget>, clock?: ManualClock) {
  const made = scene({}, clock && { clock });
  for (const [port, target] of Object.entries(targets))
    made.gateway.targets.set(Number(port), target);
  return made;
}

const notStarted = { outcome: "not_started" } as const;
const port = (number: number) => ({ is: "tcp", port: number }) as const;

describe("a forward", () => {
  it("carries bytes both ways; the input's end is a half-close", async () => {
    const { client } = forwardScene({ 80: cat });
    const sent = numbers(300_000);
    await using forward = await client.forward("demo", port(80), once(sent));
    expect(await receiveAll(forward)).toBe(sent);
    expect(await forward.receive()).toBeUndefined();
  });

  it("leads to the SSH server", async () => {
    const { client } = forwardScene({ 22: greeter });
    await using forward = await client.forward("demo", { is: "ssh" }, open);
    expect(await receiveAll(forward)).toBe("hello");
  });

  it("has a token of its own, which is revoked when it is disposed of", async () => {
    const { client, gateway } = forwardScene({ 80: echo });
    const forward = await client.forward("demo", port(80), open);
    expect(gateway.tokens.size).toBe(1);
    await forward[Symbol.asyncDispose]();
    expect(gateway.tokens.size).toBe(0);
  });

  it("waits for a gateway that is not there yet", async () => {
    const { client, gateway } = forwardScene({ 80: greeter });
    let failures = 0;
    const absent = toConnectError(new BelayError("session_lost", "refused", notStarted));
    gateway.faults = {
      before: (name) => (name === "createSshSession" && failures++ < 3 ? absent : undefined),
    };
    await using forward = await client.forward("demo", port(80), open);
    expect(await receiveAll(forward)).toBe("hello");
  });

  it("says that nothing was done when it could not be opened", async () => {
    const { client } = forwardScene({});
    const refused = { kind: "relay_refused", outcome: "not_started" };
    await using forward = await client.forward("demo", port(80), once("x"));
    await expect(forward.receive()).rejects.toMatchObject(refused);
    expect(await failureOf(client.forward("nowhere", port(80), open))).toMatchObject({
      kind: "sandbox_not_found",
      outcome: "not_started",
    });
  });

  it("that breaks fails, after the bytes that came", async () => {
    const { client, gateway } = forwardScene({ 80: echo });
    const broken = new BelayError("relay_dropped", "relay channel dropped", { outcome: "unknown" });
    gateway.faults = { onForwardFrame: (frame) => (frame === 1 ? broken : undefined) };
    const sent = numbers(200_000);
    await using forward = await client.forward("demo", port(80), once(sent));
    expect((await forward.receive())?.byteLength).toBe(defaultLimits.forwardFrameBytes);
    await expect(forward.receive()).rejects.toMatchObject({ kind: "relay_dropped" });
    await expect(forward.receive()).rejects.toMatchObject({ kind: "relay_dropped" });
  });

  it("loses nothing when a receive is given up", async () => {
    const { client } = forwardScene({ 80: greeter });
    await using forward = await client.forward("demo", port(80), open);
    const signal = AbortSignal.abort(new Error("not now"));
    await expect(forward.receive({ signal })).rejects.toThrow("not now");
    expect(await receiveAll(forward)).toBe("hello");
  });

  it("that is left ends its input, and drops what still comes", async () => {
    const { client } = forwardScene({ 80: lastWords });
    await using forward = await client.forward("demo", port(80), open);
    await forward.leave();
    expect(await forward.receive()).toBeUndefined();
  });

  it("that is left waits only so long for a target that does not end", async () => {
    const clock = new ManualClock();
    const endless: FakeTarget = () => open;
    const { client } = forwardScene({ 80: endless }, clock);
    await using forward = await client.forward("demo", port(80), open);
    const left = forward.leave();
    let isLeft = false;
    const waiting = left.then(() => (isLeft = true));
    await clock.advance(defaultLimits.leaveMs - 1);
    expect(isLeft).toBe(false);
    await clock.advance(1);
    await waiting;
  });

  it.each([
    ["all was sent", [], true],
    ["input came that could not be sent any more", ["late"], false],
  ] as const)("says after its target's end whether %s", async (_name, late, allSent) => {
    const clock = new ManualClock();
    const { client } = forwardScene({ 80: greeter }, clock);
    const goOn = Promise.withResolvers<void>();
    async function* input() {
      await goOn.promise;
      for (const text of late) yield encoder.encode(text);
    }
    await using forward = await client.forward("demo", port(80), input());
    expect(await receiveAll(forward)).toBe("hello");
    let isSettled = false;
    const settled = forward.settled().finally(() => (isSettled = true));
    goOn.resolve();
    await clock.advance(defaultLimits.forwardSettleMs - 1);
    expect(isSettled).toBe(false);
    await clock.advance(1);
    expect(await settled).toBe(allSent);
  });

  it("waits only so long for its token to be revoked", async () => {
    const clock = new ManualClock();
    const { client, gateway } = forwardScene({ 80: echo }, clock);
    gateway.faults = { hang: new Set(["revokeSshSession"]) };
    const forward = await client.forward("demo", port(80), open);
    const disposed = forward[Symbol.asyncDispose]();
    await clock.advance(defaultLimits.revokeMs);
    await disposed;
    expect(gateway.tokens.size).toBe(1);
  });
});
