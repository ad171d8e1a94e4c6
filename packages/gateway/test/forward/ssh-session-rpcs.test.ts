import type { CreateSshSessionRequest, RevokeSshSessionRequest } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { createSshSession, revokeSshSession } from "../../src/forward/ssh-session-rpcs.ts";
import { SshSessions } from "../../src/forward/ssh-sessions.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { ManualClock } from "@belay/relay-core/testing";
import { logLines } from "../support/log-lines.ts";
import { tempDir } from "../support/temp-dir.ts";
import { testLimits } from "../support/test-limits.ts";

async function scene(publicUrl?: string) {
  const dir = await tempDir();
  const { log, lines } = logLines();
  const store = {
    findById: (id: string) => Promise.resolve(id === "sb-1" ? { id } : undefined),
  } as unknown as SandboxStore;
  const sshSessions = await SshSessions.load(dir.path, testLimits(), new ManualClock());
  const deps = { store, sshSessions, log, publicUrl: publicUrl ? new URL(publicUrl) : undefined };
  const url = "http://127.0.0.1:17670/openshell.v1.OpenShell/CreateSshSession";
  return {
    lines,
    sshSessions,
    create: (sandboxId: string, calledUrl = url) =>
      createSshSession({ sandboxId } as CreateSshSessionRequest, deps, {
        subject: "alice",
        calledUrl,
      }),
    revoke: (token: string) =>
      revokeSshSession({ token } as RevokeSshSessionRequest, deps, { subject: "alice" }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

describe("CreateSshSession", () => {
  it("answers in the form that clients check", async () => {
    await using s = await scene();
    const answer = await s.create("sb-1");
    expect(answer).toMatchObject({
      sandboxId: "sb-1",
      gatewayHost: "127.0.0.1",
      gatewayPort: 17_670,
      gatewayScheme: "http",
      hostKeyFingerprint: "",
    });
    expect(answer.token).toMatch(/^[A-Za-z0-9._~+/=-]{1,4096}$/);
    expect(Number(answer.expiresAtMs)).toBeGreaterThan(new Date().getTime());
    expect(s.sshSessions.find(answer.token, "sb-1").sandboxId).toBe("sb-1");
  });

  it.each([
    ["http://[::1]:80/x", undefined, { gatewayHost: "[::1]", gatewayPort: 80 }],
    ["https://belay.example/x", undefined, { gatewayHost: "belay.example", gatewayPort: 443 }],
    [
      "http://10.0.0.7:80/x",
      "https://belay.example",
      { gatewayHost: "belay.example", gatewayPort: 443, gatewayScheme: "https" },
    ],
    [
      "https://10.0.0.7/x",
      "http://belay.example:8080",
      { gatewayHost: "belay.example", gatewayPort: 8_080, gatewayScheme: "http" },
    ],
  ])("tells a client that called %s, of public URL %s, where to go", async (called, url, where) => {
    await using s = await scene(url);
    expect(await s.create("sb-1", called)).toMatchObject(where);
  });

  it.each([
    ["", "invalid_request", "sandbox_id is required"],
    ["sb-2", "sandbox_not_found", "sandbox not found"],
  ])("is refused for sandbox %j", async (sandboxId, kind, message) => {
    await using s = await scene();
    await expect(s.create(sandboxId)).rejects.toMatchObject({ kind, message });
  });
});

describe("RevokeSshSession", () => {
  it("says whether there was something to revoke", async () => {
    await using s = await scene();
    const { token } = await s.create("sb-1");
    expect((await s.revoke(token)).revoked).toBe(true);
    expect((await s.revoke(token)).revoked).toBe(false);
    expect((await s.revoke("")).revoked).toBe(false);
  });

  it("and CreateSshSession write no token into the log", async () => {
    await using s = await scene();
    const { token } = await s.create("sb-1");
    await s.revoke(token);
    expect(s.lines.map(({ event }) => event)).toEqual([
      "ssh_session.created",
      "ssh_session.revoked",
    ]);
    expect(JSON.stringify(s.lines)).not.toContain(token);
  });
});
