// sandbox-tokens.ts: issues and verifies what a supervisor proves its sandbox with.
import { createHash, createPublicKey, KeyObject } from "node:crypto";
import { BelayError, gatewayAudience, isSandboxId, sandboxSubject } from "@belay/protocol";
import { errors, jwtVerify, SignJWT } from "jose";
import type { GatewayIdentity } from "./gateway-identity.ts";

export interface SandboxClaims {
  readonly sandboxId: string;
  /** The name that the token was issued for; the id where the token does not say. */
  readonly sandboxName: string;
}

interface VerifiedToken {
  readonly claims: SandboxClaims;
  readonly expiresAtMs: number;
}

/** Tokens that verified are remembered, because each relay shows its token again. */
const REMEMBERED_TOKENS = 10_000;

export class SandboxTokens {
  readonly #identity: GatewayIdentity;
  readonly #publicKey: KeyObject;
  readonly #verified = new Map<string, VerifiedToken>();

  constructor(identity: GatewayIdentity) {
    this.#identity = identity;
    this.#publicKey = createPublicKey(KeyObject.from(identity.signingKey));
  }

  /** A JWT in the form of openshell.v1: EdDSA, `sub` the sandbox, `iss` and `aud` this gateway. */
  async issue(claims: SandboxClaims, lifetimeSeconds: number): Promise<string> {
    const audience = gatewayAudience(this.#identity.gatewayId);
    const issuedAt = Math.floor(new Date().getTime() / 1_000);
    return new SignJWT({ sandbox_id: claims.sandboxId, sandbox_name: claims.sandboxName })
      .setProtectedHeader({ alg: "EdDSA", kid: this.#identity.keyId, typ: "JWT" })
      .setSubject(sandboxSubject(claims.sandboxId))
      .setIssuer(audience)
      .setAudience(audience)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .sign(this.#identity.signingKey);
  }

  /** @throws BelayError `unauthenticated`, saying what is wrong with the token but not quoting it. */
  async verify(token: string): Promise<SandboxClaims> {
    const key = createHash("sha256").update(token).digest("base64");
    const remembered = this.#verified.get(key);
    if (remembered && remembered.expiresAtMs > new Date().getTime()) return remembered.claims;
    this.#verified.delete(key);

    const verified = await this.#verifySignature(token);
    if (this.#verified.size >= REMEMBERED_TOKENS) this.#verified.clear();
    this.#verified.set(key, verified);
    return verified.claims;
  }

  async #verifySignature(token: string): Promise<VerifiedToken> {
    const audience = gatewayAudience(this.#identity.gatewayId);
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        algorithms: ["EdDSA"],
        issuer: audience,
        audience,
        requiredClaims: ["exp", "iat", "sub", "sandbox_id"],
      });
      const id = payload["sandbox_id"];
      const name = payload["sandbox_name"];
      if (typeof id !== "string" || !isSandboxId(id) || payload.sub !== sandboxSubject(id)) {
        throw new BelayError("unauthenticated", "sandbox token names no sandbox");
      }
      return {
        claims: { sandboxId: id, sandboxName: typeof name === "string" ? name : id },
        expiresAtMs: payload.exp! * 1_000,
      };
    } catch (error) {
      throw new BelayError("unauthenticated", describe(error), { cause: error });
    }
  }
}

function describe(error: unknown): string {
  if (error instanceof BelayError) return error.message;
  if (error instanceof errors.JWTExpired) {
    return "sandbox token expired: issue a new one with `belay-gateway token`";
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return `sandbox token is not for this gateway: unexpected "${error.claim}" claim`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return "sandbox token was not signed by this gateway";
  }
  return "not a sandbox token";
}
