import { describe, expect, it } from "vitest";
import { ForwardAdmission } from "../../src/forward/forward-admission.ts";
import type { SshSession } from "../../src/forward/ssh-sessions.ts";
import { isSettled } from "@belay/relay-core/testing";
import { never, testLimits } from "../support/test-limits.ts";

const session = (tokenHash: string, sandboxId = "sb-1"): SshSession => ({
  tokenHash,
  sandboxId,
  ended: never,
});

describe("ForwardAdmission", () => {
  it("keeps the contract's caps by default", () => {
    expect(testLimits()).toMatchObject({ connectionsPerSshSession: 3, sshPerSandbox: 20 });
  });

  it.each(["ssh", "tcp"] as const)("lets a token open so many, to %s, at once", (target) => {
    const admission = new ForwardAdmission(testLimits());
    const open = [1, 2, 3].map(() => admission.admit(session("a"), target));
    expect(() => admission.admit(session("a"), target)).toThrow(
      expect.objectContaining({
        kind: "limit_exceeded",
        message: "SSH session connection limit reached",
      }),
    );
    admission.admit(session("b"), target);
    open[0]![Symbol.dispose]();
    admission.admit(session("a"), target);
  });

  it.each([
    ["ssh", { sshPerSandbox: 2 }, "sandbox SSH connection limit reached"],
    ["tcp", { forwardsPerSandbox: 2 }, "sandbox forward connection limit reached"],
  ] as const)("lets so many to %s be open per sandbox", (target, limits, message) => {
    const admission = new ForwardAdmission(testLimits(limits));
    const open = ["a", "b"].map((token) => admission.admit(session(token), target));
    expect(() => admission.admit(session("c"), target)).toThrow(
      expect.objectContaining({ kind: "limit_exceeded", message }),
    );
    admission.admit(session("c", "sb-2"), target);
    admission.admit(session("c"), target === "ssh" ? "tcp" : "ssh");
    open[0]![Symbol.dispose]();
    admission.admit(session("c"), target);
  });

  it("counts nothing of a forward that it refused", () => {
    const admission = new ForwardAdmission(testLimits({ sshPerSandbox: 1 }));
    const open = admission.admit(session("a"), "ssh");
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect(() => admission.admit(session("b"), "ssh")).toThrow("sandbox SSH connection limit");
    }
    expect(admission.open).toBe(1);
    open[Symbol.dispose]();
    admission.admit(session("b"), "ssh");
  });

  it("admits none once it drains, and is idle when the last one has ended", async () => {
    const admission = new ForwardAdmission(testLimits());
    const open = ["a", "b"].map((token) => admission.admit(session(token), "tcp"));
    admission.drain();
    expect(() => admission.admit(session("c"), "tcp")).toThrow(
      expect.objectContaining({ kind: "gateway_draining" }),
    );
    const idle = admission.idle();
    open[0]![Symbol.dispose]();
    expect(await isSettled(idle)).toBe(false);
    open[1]![Symbol.dispose]();
    await idle;
    await admission.idle();
  });
});
