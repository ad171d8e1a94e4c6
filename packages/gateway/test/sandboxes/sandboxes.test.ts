import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  BelayError,
  GetSandboxRequestSchema,
  ListSandboxesRequestSchema,
  SandboxPhase,
} from "@belay/protocol";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { getSandbox, listSandboxes } from "../../src/sandboxes/sandboxes.ts";
import { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { tempDir } from "../support/temp-dir.ts";
import { testLimits } from "../support/test-limits.ts";
import { testSession } from "../support/test-session.ts";

async function sandboxScene(names: string[]) {
  const dir = await tempDir();
  const store = new SandboxStore(dir.path);
  for (const name of names) await store.ensure(name, `id-${name}`);
  const sessions = new SessionRegistry(testLimits(), new ManualClock());
  return {
    sessions,
    get: (request: MessageInitShape<typeof GetSandboxRequestSchema>) =>
      getSandbox(create(GetSandboxRequestSchema, request), store, sessions),
    async list(request: MessageInitShape<typeof ListSandboxesRequestSchema> = {}) {
      const message = create(ListSandboxesRequestSchema, request);
      const { sandboxes } = await listSandboxes(message, store, sessions);
      return sandboxes.map(({ metadata }) => metadata?.name);
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

describe("GetSandbox", () => {
  it.each([undefined, "", "default"])(
    "finds a sandbox by name (workspace %j)",
    async (workspace) => {
      await using scene = await sandboxScene(["box"]);
      const { sandbox } = await scene.get({ name: "box", ...(workspace && { workspace }) });
      expect(sandbox?.metadata).toMatchObject({ id: "id-box", name: "box", workspace: "default" });
    },
  );

  it("tells the phase by the session: READY only while there is one", async () => {
    await using scene = await sandboxScene(["box"]);
    const phase = async () => (await scene.get({ name: "box" })).sandbox?.status?.phase;
    expect(await phase()).toBe(SandboxPhase.PROVISIONING);
    const session = testSession("id-box");
    scene.sessions.add(session);
    expect(await phase()).toBe(SandboxPhase.READY);
    session.end(new BelayError("session_lost", "gone"));
    expect(await phase()).toBe(SandboxPhase.UNKNOWN);
  });

  it("finds nothing under another name or in another workspace", async () => {
    await using scene = await sandboxScene(["box"]);
    const notFound = { kind: "sandbox_not_found", message: "sandbox not found" };
    await expect(scene.get({ name: "bo" })).rejects.toMatchObject(notFound);
    await expect(scene.get({ name: "../box" })).rejects.toMatchObject(notFound);
    await expect(scene.get({ name: "box", workspace: "x" })).rejects.toMatchObject(notFound);
    await expect(scene.get({ name: "" })).rejects.toMatchObject({ kind: "invalid_request" });
  });
});

describe("ListSandboxes", () => {
  it("gives pages by name", async () => {
    await using scene = await sandboxScene(["c", "a", "d", "b"]);
    expect(await scene.list()).toEqual(["a", "b", "c", "d"]);
    expect(await scene.list({ limit: 2 })).toEqual(["a", "b"]);
    expect(await scene.list({ limit: 2, offset: 3 })).toEqual(["d"]);
    expect(await scene.list({ offset: 9 })).toEqual([]);
  });

  it("knows one workspace and no labels", async () => {
    await using scene = await sandboxScene(["a"]);
    expect(await scene.list({ workspace: "other" })).toEqual([]);
    expect(await scene.list({ workspace: "other", allWorkspaces: true })).toEqual(["a"]);
    await expect(scene.list({ labelSelector: "x=y" })).rejects.toMatchObject({
      kind: "invalid_request",
    });
  });
});
