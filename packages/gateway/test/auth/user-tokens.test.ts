import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findUser, readUserTokens } from "../../src/auth/user-tokens.ts";
import type { UserTokens } from "../../src/auth/user-tokens.ts";
import { rejection } from "@belay/relay-core/testing";
import { tempDir } from "../support/temp-dir.ts";

async function read(content: string): Promise<UserTokens> {
  await using dir = await tempDir();
  const path = join(dir.path, "users.txt");
  await writeFile(path, content);
  return await readUserTokens(path);
}

describe("the file of user tokens", () => {
  it("names a user per line, with comments and empty lines between", async () => {
    const tokens = await read(
      "# people\n\nalice  token-of-alice-01\r\n\tbob\ttoken-of-bob-000002  \n",
    );
    expect(tokens.size).toBe(2);
    expect(findUser(tokens, "token-of-alice-01")).toEqual({ subject: "alice" });
    expect(findUser(tokens, "token-of-bob-000002")).toEqual({ subject: "bob" });
    expect(findUser(tokens, "token-of-carol-003")).toBeUndefined();
  });

  it("may give one user several tokens", async () => {
    const tokens = await read("ci token-number-0001\nci token-number-0002\n");
    expect(findUser(tokens, "token-number-0002")).toEqual({ subject: "ci" });
    expect(tokens.size).toBe(2);
  });

  it("is refused with all its problems at once, and no token quoted", async () => {
    const error = await rejection(
      read("alice SECRET-TOKEN-0001\nSECRET-ALONE\nbob SECRET\ncarol SECRET-TOKEN-0002 extra\n"),
    );
    expect((error as Error).message).toBe(
      "user tokens file: line 2: not SUBJECT TOKEN; line 3: token shorter than 16 characters; " +
        "line 4: not SUBJECT TOKEN",
    );
  });

  it.each(["", "# nobody\n"])("is refused when no token is in it: %j", async (content) => {
    await expect(read(content)).rejects.toThrow("user tokens file: no token in it");
  });

  it("keeps no token in memory as it is", async () => {
    const tokens = await read("alice token-of-alice-01\n");
    expect(JSON.stringify([...tokens])).not.toContain("token-of-alice-01");
  });
});
