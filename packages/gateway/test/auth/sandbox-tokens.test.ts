import { createHmac, randomUUID } from "node:crypto";
import { gatewayAudience, sandboxSubject } from "@belay/protocol";
import { decodeJwt, decodeProtectedHeader, generateKeyPair, SignJWT } from "jose";
import type { JWTPayload } from "jose";
import { describe, expect, it, vi } from "vitest";
import type { GatewayIdentity } from "../../src/auth/gateway-identity.ts";
import { SandboxTokens } from "../../src/auth/sandbox-tokens.ts";
import { rejection } from "@belay/relay-core/testing";

async function identity(): Promise<GatewayIdentity> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  return { gatewayId: randomUUID(), keyId: "key-1", signingKey: privateKey };
}

const claims = { sandboxId: "sb-1", sandboxName: "box" };
const nowSeconds = () => Math.floor(Date.now() / 1_000);

/** A token as this gateway signs it, except for what a test changes. */
async function signed(by: GatewayIdentity, changed: JWTPayload = {}): Promise<string> {
  const audience = gatewayAudience(by.gatewayId);
  const payload: JWTPayload = {
    sandbox_id: "sb-1",
    sub: sandboxSubject("sb-1"),
    iss: audience,
    aud: audience,
    iat: nowSeconds(),
    exp: nowSeconds() + 60,
    ...changed,
  };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: "EdDSA", kid: by.keyId })
    .sign(by.signingKey);
}

describe("a sandbox token", () => {
  it("says what OpenShell's supervisors and gateways expect of it", async () => {
    const gateway = await identity();
    const token = await new SandboxTokens(gateway).issue(claims, 60);
    const payload = decodeJwt(token);
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: "EdDSA", kid: "key-1" });
    expect(payload).toMatchObject({
      sub: "spiffe://openshell/sandbox/sb-1",
      iss: `openshell-gateway:${gateway.gatewayId}`,
      aud: `openshell-gateway:${gateway.gatewayId}`,
      sandbox_id: "sb-1",
    });
    expect(payload.exp! - payload.iat!).toBe(60);
  });

  it("is accepted by the gateway that issued it, again and again", async () => {
    const tokens = new SandboxTokens(await identity());
    const token = await tokens.issue(claims, 60);
    for (let round = 0; round < 3; round += 1) expect(await tokens.verify(token)).toEqual(claims);
  });

  it("without a name names the sandbox by its id", async () => {
    const gateway = await identity();
    const token = await signed(gateway);
    expect(await new SandboxTokens(gateway).verify(token)).toEqual({
      sandboxId: "sb-1",
      sandboxName: "sb-1",
    });
  });

  it("that has expired is refused, with what to do", async () => {
    const gateway = await identity();
    const token = await signed(gateway, { exp: nowSeconds() - 1 });
    await expect(new SandboxTokens(gateway).verify(token)).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "sandbox token expired: issue a new one with `belay-gateway token`",
    });
  });

  it("is not remembered beyond its end", async () => {
    const gateway = await identity();
    const tokens = new SandboxTokens(gateway);
    const token = await signed(gateway);
    await tokens.verify(token);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 61_000 });
    try {
      await expect(tokens.verify(token)).rejects.toMatchObject({ kind: "unauthenticated" });
    } finally {
      vi.useRealTimers();
    }
  });

  it.each<[string, JWTPayload]>([
    ["another gateway as audience", { aud: gatewayAudience("other") }],
    ["another gateway as issuer", { iss: gatewayAudience("other") }],
    ["no end", { exp: undefined as never }],
    ["no time of issue", { iat: undefined as never }],
    ["no subject", { sub: undefined as never }],
    ["no sandbox", { sandbox_id: undefined as never }],
    ["another sandbox as subject", { sub: sandboxSubject("sb-2") }],
    ["a user as subject", { sub: "alice" }],
    ["a sandbox id that is none", { sandbox_id: "../x", sub: sandboxSubject("../x") }],
    ["a sandbox id that is no text", { sandbox_id: 7, sub: sandboxSubject("7") }],
  ])("with %s is refused", async (_what, changed) => {
    const gateway = await identity();
    const token = await signed(gateway, changed);
    const error = await rejection(new SandboxTokens(gateway).verify(token));
    expect(error).toMatchObject({ kind: "unauthenticated" });
    expect((error as Error).message).not.toContain(token);
  });

  it("that another key signed is refused", async () => {
    const [ours, theirs] = [await identity(), await identity()];
    const token = await signed({ ...theirs, gatewayId: ours.gatewayId, keyId: ours.keyId });
    await expect(new SandboxTokens(ours).verify(token)).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "sandbox token was not signed by this gateway",
    });
  });

  it.each(["none", "HS256"])("in algorithm %s is refused", async (alg) => {
    const gateway = await identity();
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const payload = decodeJwt(await signed(gateway));
    const body = `${encode({ alg, kid: gateway.keyId })}.${encode(payload)}`;
    const mac = createHmac("sha256", gateway.keyId).update(body).digest("base64url");
    const token = `${body}.${alg === "none" ? "" : mac}`;
    await expect(new SandboxTokens(gateway).verify(token)).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "not a sandbox token",
    });
  });

  it.each(["", "x", "a.b.c", "é"])("is not %j", async (token) => {
    const tokens = new SandboxTokens(await identity());
    await expect(tokens.verify(token)).rejects.toMatchObject({ kind: "unauthenticated" });
  });
});
