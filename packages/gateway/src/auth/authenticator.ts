// authenticator.ts: who calls, on which of the two planes.
import { BelayError } from "@belay/protocol";
import type { SandboxClaims, SandboxTokens } from "./sandbox-tokens.ts";
import { findUser } from "./user-tokens.ts";
import type { User, UserTokens } from "./user-tokens.ts";

/** On loopback, where no user tokens are set, everybody who can connect is the local user. */
const LOCAL_USER: User = { subject: "local" };

export class Authenticator {
  readonly #sandboxTokens: SandboxTokens;
  readonly #userTokens: UserTokens | undefined;

  /** @param userTokens undefined: callers of the user plane need none. */
  constructor(sandboxTokens: SandboxTokens, userTokens: UserTokens | undefined) {
    this.#sandboxTokens = sandboxTokens;
    this.#userTokens = userTokens;
  }

  /** Whether callers of the user plane need a token. */
  get asksForTokens(): boolean {
    return this.#userTokens !== undefined;
  }

  /** Whether a request with this `authorization` header may see what users may. */
  mayCall(authorization: string | undefined): boolean {
    if (!this.#userTokens) return true;
    const token = bearerToken(authorization);
    return token !== undefined && findUser(this.#userTokens, token) !== undefined;
  }

  /** @throws BelayError `unauthenticated`. */
  user(header: Headers): User {
    if (!this.#userTokens) return LOCAL_USER;
    const token = bearerToken(header.get("authorization"));
    if (!token) throw new BelayError("unauthenticated", "a user's bearer token is required");
    const user = findUser(this.#userTokens, token);
    if (!user) throw new BelayError("unauthenticated", "unknown user token");
    return user;
  }

  /** @throws BelayError `unauthenticated`, or `permission_denied` for a user's token. */
  async sandbox(header: Headers): Promise<SandboxClaims> {
    const token = bearerToken(header.get("authorization"));
    if (!token) throw new BelayError("unauthenticated", "a sandbox's bearer token is required");
    if (this.#userTokens && findUser(this.#userTokens, token)) {
      throw new BelayError("permission_denied", "a user's token may not act for a sandbox");
    }
    return this.#sandboxTokens.verify(token);
  }
}

function bearerToken(authorization: string | null | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
}
