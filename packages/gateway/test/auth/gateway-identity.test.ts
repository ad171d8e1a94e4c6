import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadGatewayIdentity } from "../../src/auth/gateway-identity.ts";
import { SandboxTokens } from "../../src/auth/sandbox-tokens.ts";
import { turns } from "@belay/relay-core/testing";
import { tempDir } from "../support/temp-dir.ts";

const claims = { sandboxId: "sb-1", sandboxName: "box" };

describe("the gateway's identity", () => {
  it("is made on first use, readable by its owner alone", async () => {
    await using dir = await tempDir();
    const dataDir = join(dir.path, "new", "data");
    await loadGatewayIdentity(dataDir);
    expect((await stat(join(dataDir, "identity.json"))).mode & 0o777).toBe(0o600);
    expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  });

  it("is the same after a restart: its tokens go on being good", async () => {
    await using dir = await tempDir();
    const before = await loadGatewayIdentity(dir.path);
    const token = await new SandboxTokens(before).issue(claims, 60);
    const after = await loadGatewayIdentity(dir.path);
    expect([after.gatewayId, after.keyId]).toEqual([before.gatewayId, before.keyId]);
    expect(await new SandboxTokens(after).verify(token)).toEqual(claims);
  });

  it.each([0, 1, 2, 4, 8])(
    "is one, though many make it at once (%i turns apart)",
    async (apart) => {
      await using dir = await tempDir();
      const identities = await Promise.all(
        Array.from({ length: 8 }, async (_, index) => {
          await turns(index * apart);
          return loadGatewayIdentity(dir.path);
        }),
      );
      const [first] = identities;
      const token = await new SandboxTokens(first!).issue(claims, 60);
      for (const identity of identities) {
        expect(identity.gatewayId).toBe(first!.gatewayId);
        expect(await new SandboxTokens(identity).verify(token)).toEqual(claims);
      }
      expect(await readdir(dir.path)).toEqual(["identity.json"]);
    },
  );

  it("is not replaced when its file cannot be understood", async () => {
    await using dir = await tempDir();
    await writeFile(join(dir.path, "identity.json"), "half a fi");
    await expect(loadGatewayIdentity(dir.path)).rejects.toThrow("JSON");
    expect(await readFile(join(dir.path, "identity.json"), "utf8")).toBe("half a fi");
  });

  it("is not replaced when its file cannot be read", async () => {
    await using dir = await tempDir();
    await mkdir(join(dir.path, "identity.json"));
    await expect(loadGatewayIdentity(dir.path)).rejects.toMatchObject({ code: "EISDIR" });
  });
});
