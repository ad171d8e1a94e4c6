// sandbox-token.ts: what proves to the gateway which sandbox we are. Never logged.
import { readFile } from "node:fs/promises";
import { BelayError, isSandboxId } from "@belay/protocol";

/** A file may be replaced while we run, so it is read for each session; a value stays what it is. */
export type TokenSource =
  { readonly is: "file"; readonly path: string } | { readonly is: "value"; readonly token: string };

/** @throws BelayError `unauthenticated` when there is none to read. */
export async function readSandboxToken(source: TokenSource): Promise<string> {
  const token = source.is === "value" ? source.token : await readTokenFile(source.path);
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new BelayError("unauthenticated", "the sandbox token is empty or not a token");
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw new BelayError("unauthenticated", "the sandbox token cannot be read", { cause });
  }
}

/**
 * The sandbox that a token is for, as it says itself: the gateway verifies it, we only repeat it.
 * @throws BelayError `unauthenticated` when it does not say.
 */
export function sandboxIdOf(token: string): string {
  const claims = parseClaims(token);
  const id = claims?.["sandbox_id"];
  if (typeof id === "string" && isSandboxId(id)) return id;
  throw new BelayError("unauthenticated", "the sandbox token names no sandbox: give --sandbox-id");
}

function parseClaims(token: string): Record<string, unknown> | undefined {
  try {
    const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString();
    return JSON.parse(payload) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
