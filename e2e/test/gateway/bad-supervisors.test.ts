// Supervisors that are wrong, hostile or somebody else: refused with the contract's texts, and nobody else notices.
import { randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Deployment } from "../../src/deployment.ts";
import { claimsInstead, claimsTwice, opensWith, serves } from "../../src/puppet-relays.ts";
import { exits } from "../../src/puppet-ssh.ts";
import { PuppetSupervisor } from "../../src/puppet-supervisor.ts";
import type { PuppetOptions } from "../../src/puppet-supervisor.ts";
import { within } from "../../src/wait.ts";
import { startBystander } from "../support/bystander.ts";
import type { Bystander } from "../support/bystander.ts";
import { expectError, expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { finish, HeldExecs } from "../support/held-execs.ts";
import { signToken } from "../support/own-tokens.ts";
import { startGateway, startScene } from "../support/scene.ts";

let gateway: Deployment;
let bystander: Bystander;
beforeAll(async () => {
  gateway = await startGateway(flags({ "relay-wait-ms": 1_000, "ssh-ready-ms": 1_000 }));
  bystander = await startBystander(gateway);
});
afterAll(async () => {
  await bystander[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

/** What the gateway answers to a session that should not be. */
async function refusal(options: Partial<PuppetOptions>): Promise<unknown> {
  const sandboxId = options.sandboxId ?? randomUUID();
  await using puppet = new PuppetSupervisor({
    url: gateway.gatewayUrl,
    token: await signToken(gateway.dataDir, { sandboxId }),
    sandboxId,
    ...options,
  });
  const ended = await within("the end of a wrong session", 10_000, puppet.ended);
  expect(puppet.sessionId, "it was accepted").toBeUndefined();
  return ended;
}

async function tokenOfAnotherKey(sandboxId: string): Promise<string> {
  const { privateKey } = await generateKeyPair("EdDSA");
  return await new SignJWT({ sandbox_id: sandboxId })
    .setProtectedHeader({ alg: "EdDSA", kid: "k" })
    .setSubject(`spiffe://openshell/sandbox/${sandboxId}`)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(privateKey);
}

describe("a sandbox token", () => {
  it.each<[string, (sandboxId: string) => Promise<string> | string, RegExp]>([
    ["that is garbage", () => "garbage", /^not a sandbox token$/],
    ["that is almost a JWT", () => "eyJhbGciOiJub25lIn0.e30.", /^not a sandbox token$/],
    ["of another key", tokenOfAnotherKey, /not signed by this gateway|not for this gateway/],
    [
      "that is expired",
      (sandboxId) => signToken(gateway.dataDir, { sandboxId, lifetimeSeconds: -60 }),
      /^sandbox token expired/,
    ],
    [
      "of another gateway",
      (sandboxId) => signToken(gateway.dataDir, { sandboxId, audience: "openshell-gateway:x" }),
      /^sandbox token is not for this gateway/,
    ],
    [
      "whose subject is another sandbox",
      (sandboxId) =>
        signToken(gateway.dataDir, { sandboxId, subject: "spiffe://openshell/sandbox/x" }),
      /^sandbox token names no sandbox$/,
    ],
  ])("%s is refused", async (_name, tokenFor, message) => {
    const sandboxId = randomUUID();
    const token = await tokenFor(sandboxId);
    const error = await refusal({ sandboxId, token });
    expect(error).toMatchObject({ code: Code.Unauthenticated });
    expect(error).toMatchObject({ rawMessage: expect.stringMatching(message) as string });
    expect(String(error)).not.toContain(token);
  });

  it("is required", async () => {
    const error = await refusal({ token: "" });
    expect(error).toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: "a sandbox's bearer token is required",
    });
  });
});

describe("a session", () => {
  it("is for the token's own sandbox only", async () => {
    const { sandboxId } = bystander.scene;
    const token = await signToken(gateway.dataDir);
    expect(await refusal({ sandboxId, token })).toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "the token is for another sandbox than the hello's",
    });
  });

  it("begins with a hello", async () => {
    const heartbeat = { payload: { case: "heartbeat", value: {} } } as const;
    for (const firstMessage of [heartbeat, {}]) {
      expect(await refusal({ firstMessage })).toMatchObject({
        code: Code.InvalidArgument,
        rawMessage: "first message must be hello",
      });
    }
  });

  it("ends by a second hello, for its own sandbox only", async () => {
    await using scene = await startScene(gateway);
    scene.puppet.send({
      payload: { case: "hello", value: { sandboxId: scene.sandboxId, instanceId: "again" } },
    });
    const ended = await within("the session's end", 10_000, scene.puppet.ended);
    expect(ended).toMatchObject({ rawMessage: "hello is the first message, and only that" });
  });

  it("may speak of relays that are not its own, to no effect", async () => {
    const { channelId } = await bystander.scene.puppet.opened();
    await using scene = await startScene(gateway);
    scene.puppet.report(channelId, false, "I refuse for you");
    scene.puppet.closeRelay(channelId, "I close for you");
    scene.puppet.report("no such channel", false, "nothing");
    // Messages are handled in order: once this exec has run, they were.
    expectExit(await scene.exec(gateway.client()).result, 0);
  });
});

const unknownChannel = {
  code: Code.NotFound,
  rawMessage: "unknown or expired relay channel",
};

describe("a relay", () => {
  it.each([
    ["data", "first RelayFrame must be init with non-empty channel_id"],
    ["empty-channel-id", "first RelayFrame must be init with non-empty channel_id"],
    ["nothing", "empty RelayStream"],
  ] as const)("whose first frame is %s is refused", async (first, rawMessage) => {
    await using scene = await startScene(gateway, { relays: opensWith(first) });
    const run = scene.exec(gateway.client());
    await scene.puppet.opened();
    const ended = await within("the call's end", 10_000, scene.puppet.claims[0]!.ended);
    expect(ended).toMatchObject({ code: Code.InvalidArgument, rawMessage });
    expect((await run.result).code).toBe(Code.DeadlineExceeded);
  });

  it("that was never asked for is refused", async () => {
    await using scene = await startScene(gateway);
    const ended = await within("the call's end", 10_000, scene.puppet.claim(randomUUID()).ended);
    expect(ended).toMatchObject(unknownChannel);
  });

  it("of another sandbox is refused, and stays its owner's", async () => {
    await using thief = await startScene(gateway);
    await using owner = await startScene(gateway, { relays: () => {} });
    const run = owner.exec(gateway.client());
    const open = await owner.puppet.opened();
    const stolen = await within(
      "the theft's end",
      10_000,
      thief.puppet.claim(open.channelId).ended,
    );
    expect(stolen).toMatchObject(unknownChannel);
    serves(exits(3, "mine"))(owner.puppet, open);
    expectExit(await run.result, 3, "mine");
  });

  it("that runs is nobody else's either", async () => {
    await using thief = await startScene(gateway);
    const { channelId } = await bystander.scene.puppet.opened();
    const stolen = await within("the theft's end", 10_000, thief.puppet.claim(channelId).ended);
    expect(stolen).toMatchObject(unknownChannel);
  });

  it("is claimed once; a second claim is refused, and the first runs on", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { relays: claimsTwice(held.script) });
    const run = scene.exec(gateway.client());
    const exec = await held.started();
    const second = await within("the second claim's end", 10_000, scene.puppet.claims[1]!.ended);
    expect(second).toMatchObject(unknownChannel);
    finish(exec, 5, "the first");
    expectExit(await run.result, 5, "the first");
  });

  it("is not delivered by a claim of another channel", async () => {
    await using scene = await startScene(gateway, { relays: claimsInstead(randomUUID()) });
    expectError(await scene.exec(gateway.client()).result, {
      code: Code.DeadlineExceeded,
      message: "relay open timed out",
      kind: "relay_open_timeout",
      outcome: "not_started",
      retry: "now",
    });
  });

  it("that comes too late is unknown", async () => {
    await using scene = await startScene(gateway, { relays: () => {} });
    const run = scene.exec(gateway.client());
    const { channelId } = await scene.puppet.opened();
    expect((await run.result).code).toBe(Code.DeadlineExceeded);
    const late = await within("the late claim's end", 10_000, scene.puppet.claim(channelId).ended);
    expect(late).toMatchObject(unknownChannel);
  });

  it("that carries no SSH fails its exec only", async () => {
    await using scene = await startScene(gateway, {
      relays: (puppet, { channelId }) => {
        const relay = puppet.claim(channelId);
        relay.write("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(100));
      },
    });
    const result = await scene.exec(gateway.client()).result;
    expect(result).toMatchObject({ code: Code.Unavailable, outcome: "not_started", hung: false });
    scene.puppet.relays = serves(exits(0));
    expectExit(await scene.exec(gateway.client()).result, 0);
  });
});

describe("all of it", () => {
  it("went by the exec that ran beside it", async () => {
    await bystander.expectEndsWell();
    expect(gateway.gateway.lines.filter(({ fields }) => fields["level"] === "error")).toEqual([]);
  });
});
