import { describe, expect, it } from "vitest";
import { ExecAdmission } from "../../src/exec/exec-admission.ts";
import { isSettled } from "@belay/relay-core/testing";
import { testLimits } from "../support/test-limits.ts";

const limits = testLimits({ execs: 3, execsPerSandbox: 2 });

describe("ExecAdmission", () => {
  it("admits up to the limit of a sandbox, and again after one has ended", () => {
    const admission = new ExecAdmission(limits);
    const first = admission.admit("a");
    admission.admit("a");
    expect(() => admission.admit("a")).toThrow(
      expect.objectContaining({
        kind: "limit_exceeded",
        message: "at most 2 execs run at once per sandbox",
        outcome: "not_started",
        retry: "later",
      }),
    );
    first[Symbol.dispose]();
    admission.admit("a");
    expect(admission.running).toBe(2);
  });

  it("admits up to the limit of the gateway", () => {
    const admission = new ExecAdmission(limits);
    for (const sandbox of ["a", "b", "c"]) admission.admit(sandbox);
    expect(() => admission.admit("d")).toThrow("at most 3 execs run at once per gateway");
    expect(admission.running).toBe(3);
  });

  it("counts a refused exec nowhere", () => {
    const admission = new ExecAdmission(limits);
    const both = [admission.admit("a"), admission.admit("a")];
    expect(() => admission.admit("a")).toThrow("per sandbox");
    for (const each of both) each[Symbol.dispose]();
    expect(admission.running).toBe(0);
    admission.admit("a");
    admission.admit("a");
    admission.admit("b");
  });

  it("refuses every exec once it drains, and says that nothing ran", () => {
    const admission = new ExecAdmission(limits);
    admission.drain();
    expect(() => admission.admit("a")).toThrow(
      expect.objectContaining({ kind: "gateway_draining", outcome: "not_started", retry: "now" }),
    );
  });

  it("is idle when the last exec has ended", async () => {
    const admission = new ExecAdmission(limits);
    await admission.idle();
    const execs = [admission.admit("a"), admission.admit("b")];
    const idle = Promise.all([admission.idle(), admission.idle()]);
    execs[0]![Symbol.dispose]();
    expect(await isSettled(idle)).toBe(false);
    execs[1]![Symbol.dispose]();
    await idle;
  });
});
