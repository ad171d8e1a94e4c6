import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { SshSessions } from "../../src/forward/ssh-sessions.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { tempDir } from "../support/temp-dir.ts";
import { testLimits } from "../support/test-limits.ts";

async function scene(limits: Partial<GatewayLimits> = {}) {
  const dir = await tempDir();
  const clock = new ManualClock();
  const load = () => SshSessions.load(dir.path, testLimits(limits), clock);
  return {
    clock,
    load,
    sessions: await load(),
    files: () => readdir(join(dir.path, "ssh-sessions")),
    path: join(dir.path, "ssh-sessions"),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

const refusal = (message: string) =>
  expect.objectContaining({ kind: "unauthenticated", message }) as unknown;
const notFound = refusal("SSH session token not found");

describe("an SSH session", () => {
  it("is found by its token, which is 32 random bytes in the form that clients check", async () => {
    await using s = await scene();
    const made = await s.sessions.create("sb-1");
    expect(Buffer.from(made.token, "base64url")).toHaveLength(32);
    expect(made.token).toMatch(/^[A-Za-z0-9._~+/=-]{1,4096}$/);
    expect((await s.sessions.create("sb-1")).token).not.toBe(made.token);
    expect(s.sessions.find(made.token, "sb-1")).toMatchObject({ sandboxId: "sb-1" });
  });

  it("is not found by a token that was never made, nor for another sandbox", async () => {
    await using s = await scene();
    const { token } = await s.sessions.create("sb-1");
    expect(() => s.sessions.find("nonsense", "sb-1")).toThrow(notFound);
    expect(() => s.sessions.find(token, "sb-2")).toThrow(notFound);
  });

  it("expires after its time, which whoever uses it hears at once", async () => {
    await using s = await scene();
    const { token, expiresAtMs } = await s.sessions.create("sb-1");
    const dayMs = 24 * 60 * 60 * 1_000;
    expect(Math.abs(expiresAtMs - (new Date().getTime() + dayMs))).toBeLessThan(60_000);
    const { ended } = s.sessions.find(token, "sb-1");
    await s.clock.advance(dayMs - 1);
    expect(ended.aborted).toBe(false);
    await s.clock.advance(1);
    expect(ended.reason).toEqual(refusal("SSH session token expired"));
    expect(() => s.sessions.find(token, "sb-1")).toThrow(refusal("SSH session token expired"));
  });

  it("ends when it is revoked, for good, and is revoked once", async () => {
    await using s = await scene();
    const { token } = await s.sessions.create("sb-1");
    const { ended } = s.sessions.find(token, "sb-1");
    expect(await s.sessions.revoke(token)).toBe(true);
    expect(ended.reason).toEqual(refusal("SSH session token revoked"));
    expect(() => s.sessions.find(token, "sb-1")).toThrow(notFound);
    expect(await s.sessions.revoke(token)).toBe(false);
    expect(await s.sessions.revoke("nonsense")).toBe(false);
    expect(await s.files()).toEqual([]);
    expect(s.clock.pendingTimers).toBe(0);
    expect(() => s.sessions.find(token, "sb-1")).toThrow(notFound);
    await expect(s.load().then((later) => later.find(token, "sb-1"))).rejects.toEqual(notFound);
  });

  it("that has expired cannot be revoked any more", async () => {
    await using s = await scene({ sshSessionMs: 1_000 });
    const { token } = await s.sessions.create("sb-1");
    await s.clock.advance(1_000);
    expect(await s.sessions.revoke(token)).toBe(false);
  });

  it("survives a restart, with its expiry", async () => {
    await using s = await scene({ sshSessionMs: 1_000 });
    const { token } = await s.sessions.create("sb-1");
    // Until now no time has passed, but for what the machine's clock gained in between.
    const later = await s.load();
    const { ended } = later.find(token, "sb-1");
    await s.clock.advance(1_000);
    expect(ended.reason).toEqual(refusal("SSH session token expired"));
  });

  it("that expired while no gateway ran is still told from an unknown one", async () => {
    await using s = await scene({ sshSessionMs: 60_000 });
    const { token } = await s.sessions.create("sb-1");
    const [file] = await s.files();
    const record = { sandboxId: "sb-1", expiresAtMs: new Date().getTime() - 1_000 };
    await writeFile(join(s.path, file!), JSON.stringify(record));
    const later = await s.load();
    expect(() => later.find(token, "sb-1")).toThrow(refusal("SSH session token expired"));
  });

  it("is forgotten when it has been expired for as long as it lived", async () => {
    await using s = await scene({ sshSessionMs: 1_000 });
    const { token } = await s.sessions.create("sb-1");
    await s.clock.advance(1_999);
    await s.sessions.create("sb-2");
    expect(() => s.sessions.find(token, "sb-1")).toThrow(refusal("SSH session token expired"));
    await s.clock.advance(2);
    await s.sessions.create("sb-2");
    expect(() => s.sessions.find(token, "sb-1")).toThrow(notFound);
    expect(await s.files()).toHaveLength(2);
  });

  it("is one of so many per sandbox; expired and revoked ones do not count", async () => {
    await using s = await scene({ sshSessionsPerSandbox: 2, sshSessionMs: 1_000 });
    const first = await s.sessions.create("sb-1");
    await s.sessions.create("sb-1");
    await expect(s.sessions.create("sb-1")).rejects.toMatchObject({ kind: "limit_exceeded" });
    await s.sessions.create("sb-2");
    await s.sessions.revoke(first.token);
    await s.sessions.create("sb-1");
    await expect(s.sessions.create("sb-1")).rejects.toMatchObject({ kind: "limit_exceeded" });
    await s.clock.advance(1_000);
    await s.sessions.create("sb-1");
  });
});

describe("what is on disk of SSH sessions", () => {
  it("holds the hash of each token and never the token, for our user only", async () => {
    await using s = await scene();
    const { token } = await s.sessions.create("sb-1");
    const [file, ...others] = await s.files();
    expect(others).toEqual([]);
    expect(file).toMatch(/^[0-9a-f]{64}\.json$/);
    const text = await readFile(join(s.path, file!), "utf8");
    expect(file + text).not.toContain(token);
    expect((await stat(join(s.path, file!))).mode & 0o777).toBe(0o600);
    expect((await stat(s.path)).mode & 0o777).toBe(0o700);
  });

  it("that is spoilt, or none of ours, is passed over", async () => {
    await using s = await scene();
    await mkdir(s.path, { recursive: true });
    const spoilt = ["", "{", "null", "{}", '{"sandboxId":"sb-1","expiresAtMs":"soon"}'];
    for (const [at, text] of spoilt.entries()) {
      await writeFile(join(s.path, `${String(at).repeat(64)}.json`), text);
    }
    await writeFile(join(s.path, "notes.txt"), "ours");
    const { token } = await s.sessions.create("sb-1");
    const later = await s.load();
    expect(later.find(token, "sb-1").sandboxId).toBe("sb-1");
    expect(() => later.find("x", "sb-1")).toThrow(notFound);
  });
});
