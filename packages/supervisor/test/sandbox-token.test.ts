import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readSandboxToken, sandboxIdOf } from "../src/link/sandbox-token.ts";

const tokenOf = (claims: unknown) =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;

describe("the sandbox token", () => {
  it("comes from a file, without the newline that editors add", async () => {
    const folder = await mkdtemp(join(tmpdir(), "belay-token-"));
    const path = join(folder, "token");
    await writeFile(path, " abc.def.ghi \n");
    await expect(readSandboxToken({ is: "file", path })).resolves.toBe("abc.def.ghi");
    await rm(folder, { recursive: true });
    await expect(readSandboxToken({ is: "file", path })).rejects.toMatchObject({
      kind: "unauthenticated",
    });
  });

  it.each(["", "two words", "line\nbreak"])("is not %j, and no error quotes it", async (token) => {
    const reading = readSandboxToken({ is: "value", token });
    await expect(reading).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "the sandbox token is empty or not a token",
    });
  });

  it("names its sandbox", () => {
    expect(sandboxIdOf(tokenOf({ sandbox_id: "box-1" }))).toBe("box-1");
  });

  it.each([
    tokenOf({}),
    tokenOf({ sandbox_id: 1 }),
    tokenOf({ sandbox_id: "a/b" }),
    "abc",
    "a.b.c",
  ])("%s names none", (token) => {
    expect(() => sandboxIdOf(token)).toThrow(/--sandbox-id/);
  });
});
