// user-tokens.ts: the bearer tokens that people and agents call the gateway with.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

export interface User {
  readonly subject: string;
}

/** Lookup by digest: neither the comparison's time nor a heap dump tells a token. */
export type UserTokens = ReadonlyMap<string, User>;

const MIN_TOKEN_CHARACTERS = 16;

/**
 * Reads a file of `SUBJECT TOKEN` lines; empty lines and lines that start with # are skipped.
 * @throws Error naming every bad line by its number, never by its content.
 */
export async function readUserTokens(path: string): Promise<UserTokens> {
  const tokens = new Map<string, User>();
  const problems: string[] = [];
  for (const [index, line] of (await readFile(path, "utf8")).split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) continue;
    const [subject, token, ...rest] = text.split(/\s+/);
    if (!subject || !token || rest.length > 0)
      problems.push(`line ${index + 1}: not SUBJECT TOKEN`);
    else if (token.length < MIN_TOKEN_CHARACTERS) {
      problems.push(`line ${index + 1}: token shorter than ${MIN_TOKEN_CHARACTERS} characters`);
    } else tokens.set(digest(token), { subject });
  }
  if (tokens.size === 0) problems.push("no token in it");
  if (problems.length > 0) throw new Error(`user tokens file: ${problems.join("; ")}`);
  return tokens;
}

export function findUser(tokens: UserTokens, token: string): User | undefined {
  return tokens.get(digest(token));
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
