// own-tokens.ts: sandbox tokens as a test wants them: for any sandbox at once, expired, or for another gateway.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { importPKCS8, SignJWT } from "jose";

export interface TokenClaims {
  sandboxId?: string;
  sandboxName?: string;
  subject?: string;
  /** Both `iss` and `aud`. Defaults to the gateway's own. */
  audience?: string;
  /** Seconds from now; negative for an expired one. Defaults to an hour. */
  lifetimeSeconds?: number;
}

/** Signs with the gateway's own key, without a process of its own: `belay-gateway token` has tests elsewhere. */
export async function signToken(dataDir: string, claims: TokenClaims = {}): Promise<string> {
  const identity = JSON.parse(await readFile(join(dataDir, "identity.json"), "utf8")) as {
    gatewayId: string;
    keyId: string;
    signingKeyPem: string;
  };
  const { sandboxId = randomUUID(), lifetimeSeconds = 3_600 } = claims;
  const audience = claims.audience ?? `openshell-gateway:${identity.gatewayId}`;
  const nowSeconds = Math.floor(Date.now() / 1_000);
  return await new SignJWT({
    sandbox_id: sandboxId,
    ...(claims.sandboxName !== undefined && { sandbox_name: claims.sandboxName }),
  })
    .setProtectedHeader({ alg: "EdDSA", kid: identity.keyId, typ: "JWT" })
    .setSubject(claims.subject ?? `spiffe://openshell/sandbox/${sandboxId}`)
    .setIssuer(audience)
    .setAudience(audience)
    .setIssuedAt(nowSeconds - 7_200)
    .setExpirationTime(nowSeconds + lifetimeSeconds)
    .sign(await importPKCS8(identity.signingKeyPem, "EdDSA"));
}
