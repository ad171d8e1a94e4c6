import { readdir, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { turns } from "@belay/relay-core/testing";
import { tempDir } from "../support/temp-dir.ts";

describe("SandboxStore", () => {
  it("knows nothing before the first sandbox, and makes nothing by being asked", async () => {
    await using dir = await tempDir();
    const store = new SandboxStore(dir.path);
    expect(await store.findById("x")).toBeUndefined();
    expect(await store.findByName("x")).toBeUndefined();
    expect(await store.list()).toEqual([]);
    expect(await readdir(dir.path)).toEqual([]);
  });

  it("keeps a sandbox under its name, over restarts", async () => {
    await using dir = await tempDir();
    const made = await new SandboxStore(dir.path).ensure("box");
    const store = new SandboxStore(dir.path);
    expect(await store.findByName("box")).toEqual(made);
    expect(await store.findById(made.id)).toEqual(made);
    expect(await store.ensure("box")).toEqual(made);
    expect((await stat(join(dir.path, "sandboxes", "box.json"))).mode & 0o777).toBe(0o600);
  });

  it("takes the id that it is given, but never a second one for a name", async () => {
    await using dir = await tempDir();
    const store = new SandboxStore(dir.path);
    expect(await store.ensure("box", "sb-1")).toMatchObject({ id: "sb-1", name: "box" });
    expect(await store.ensure("box", "sb-2")).toMatchObject({ id: "sb-1" });
    expect(await store.findById("sb-2")).toBeUndefined();
  });

  it.each([0, 1, 2, 4])(
    "gives one id to all who make it at once (%i turns apart)",
    async (apart) => {
      await using dir = await tempDir();
      const stores = Array.from({ length: 8 }, () => new SandboxStore(dir.path));
      const records = await Promise.all(
        stores.map(async (store, index) => {
          await turns(index * apart);
          return store.ensure("box");
        }),
      );
      expect(new Set(records.map(({ id }) => id)).size).toBe(1);
      for (const store of stores) {
        expect(await store.findByName("box")).toEqual(records[0]);
        expect(await store.findById(records[0]!.id)).toEqual(records[0]);
      }
      expect(await readdir(join(dir.path, "sandboxes"))).toEqual(["box.json"]);
    },
  );

  it("sees what another program adds while it runs, however soon after it looked", async () => {
    await using dir = await tempDir();
    const store = new SandboxStore(dir.path);
    const token = new SandboxStore(dir.path); // as `belay-gateway token` has it
    for (let round = 0; round < 30; round += 1) {
      const name = `box-${round}`;
      expect(await store.findByName(name)).toBeUndefined();
      const { id } = await token.ensure(name);
      expect(await store.findById(id)).toMatchObject({ name });
    }
    expect(await store.list()).toHaveLength(30);
  });

  it("sees it even where the directory's time moves in steps, and has not moved", async () => {
    await using dir = await tempDir();
    const store = new SandboxStore(dir.path);
    const other = new SandboxStore(dir.path);
    await other.ensure("first");
    const fresh = new Date(Date.now() + 60_000); // and is so however long this test takes
    await utimes(join(dir.path, "sandboxes"), fresh, fresh);
    expect(await store.findByName("second")).toBeUndefined();
    await other.ensure("second");
    await utimes(join(dir.path, "sandboxes"), fresh, fresh);
    expect(await store.findByName("second")).toBeDefined();
  });

  it("lists by name", async () => {
    await using dir = await tempDir();
    const store = new SandboxStore(dir.path);
    for (const name of ["b", "a", "C", "a.1"]) await store.ensure(name);
    expect((await store.list()).map(({ name }) => name)).toEqual(["C", "a", "a.1", "b"]);
  });

  it.each(["../x", "/etc/passwd", "a/b", "a\\b", "", "a\0b", "a b", "é", "x".repeat(200)])(
    "makes no file for a name that may be a path: %j",
    async (name) => {
      await using dir = await tempDir();
      const store = new SandboxStore(dir.path);
      await expect(store.ensure(name)).rejects.toThrow("not a sandbox name");
      expect(await store.findByName(name)).toBeUndefined();
      expect(await readdir(dir.path)).toEqual([]);
    },
  );

  it.each([".", "..", ".hidden", "-x", "__proto__", "constructor"])(
    "keeps the odd name %j inside its directory",
    async (name) => {
      await using dir = await tempDir();
      const made = await new SandboxStore(dir.path).ensure(name, "sb-1");
      expect(await new SandboxStore(dir.path).findByName(name)).toEqual(made);
      expect(await readdir(dir.path)).toEqual(["sandboxes"]);
      expect(await readdir(join(dir.path, "sandboxes"))).toEqual([`${name}.json`]);
    },
  );

  it.each(["", "half a rec", "null", "{}", '{"id":7,"name":"bad"}', '{"id":"x","name":"bad"}'])(
    "is not stopped by a file that holds no record: %j",
    async (content) => {
      await using dir = await tempDir();
      const { id } = await new SandboxStore(dir.path).ensure("good");
      await writeFile(join(dir.path, "sandboxes", "bad.json"), content);
      const store = new SandboxStore(dir.path);
      expect(await store.findById(id)).toMatchObject({ name: "good" });
      expect(await store.findByName("bad")).toBeUndefined();
      expect(await store.list()).toHaveLength(1);
    },
  );
});
