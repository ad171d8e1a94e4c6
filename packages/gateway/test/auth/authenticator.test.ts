import { createHash } from "node:crypto";
import { generateKeyPair } from "jose";
import { describe, expect, it } from "vitest";
import { Authenticator } from "../../src/auth/authenticator.ts";
import { SandboxTokens } from "../../src/auth/sandbox-tokens.ts";

const digest = (token: string) => createHash("sha256").update(token).digest("base64");
const userTokens = new Map([[digest("alices-long-token-0"), { subject: "alice" }]]);
const claims = { sandboxId: "sb-1", sandboxName: "box" };

async function sandboxTokens(): Promise<SandboxTokens> {
  const { privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  return new SandboxTokens({ gatewayId: "gw", keyId: "k", signingKey: privateKey });
}

const bearer = (token: string) => new Headers({ authorization: `Bearer ${token}` });

describe("the users' plane", () => {
  it("knows a user by the token", async () => {
    const auth = new Authenticator(await sandboxTokens(), userTokens);
    expect(auth.user(bearer("alices-long-token-0"))).toEqual({ subject: "alice" });
    const lowerCase = new Headers({ authorization: "bearer  alices-long-token-0" });
    expect(auth.user(lowerCase)).toEqual({ subject: "alice" });
  });

  it("asks for a token where users have one", async () => {
    const auth = new Authenticator(await sandboxTokens(), userTokens);
    for (const header of [new Headers(), new Headers({ authorization: "Basic YTpi" })]) {
      expect(() => auth.user(header)).toThrow("a user's bearer token is required");
    }
  });

  it("refuses an unknown token, without quoting it", async () => {
    const auth = new Authenticator(await sandboxTokens(), userTokens);
    expect(() => auth.user(bearer("mallorys-long-token"))).toThrow(
      expect.objectContaining({ kind: "unauthenticated", message: "unknown user token" }),
    );
  });

  it("refuses a sandbox's token", async () => {
    const tokens = await sandboxTokens();
    const auth = new Authenticator(tokens, userTokens);
    const token = await tokens.issue(claims, 60);
    expect(() => auth.user(bearer(token))).toThrow("unknown user token");
  });

  it("without user tokens takes everybody for the local user", async () => {
    const auth = new Authenticator(await sandboxTokens(), undefined);
    expect(auth.user(new Headers())).toEqual({ subject: "local" });
  });
});

describe("the supervisors' plane", () => {
  it("knows a sandbox by its token", async () => {
    const tokens = await sandboxTokens();
    const auth = new Authenticator(tokens, userTokens);
    expect(await auth.sandbox(bearer(await tokens.issue(claims, 60)))).toEqual(claims);
  });

  it("refuses a user's token as such", async () => {
    const auth = new Authenticator(await sandboxTokens(), userTokens);
    await expect(auth.sandbox(bearer("alices-long-token-0"))).rejects.toMatchObject({
      kind: "permission_denied",
      message: "a user's token may not act for a sandbox",
    });
  });

  it.each([undefined, userTokens])("needs a token even on loopback (%o)", async (users) => {
    const auth = new Authenticator(await sandboxTokens(), users);
    await expect(auth.sandbox(new Headers())).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "a sandbox's bearer token is required",
    });
    await expect(auth.sandbox(bearer("nonsense"))).rejects.toMatchObject({
      kind: "unauthenticated",
    });
  });
});
