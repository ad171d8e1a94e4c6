import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, ExecSandboxRequestSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { validateExec } from "../../src/exec/validate-exec.ts";
import { testLimits } from "../support/test-limits.ts";

type Request = MessageInitShape<typeof ExecSandboxRequestSchema>;

const limits = testLimits({
  commandArguments: 4,
  argumentBytes: 10,
  workdirBytes: 10,
  environmentEntries: 2,
  environmentBytes: 12,
  terminalCells: 100,
});
const good = { sandboxId: "sb-1", command: ["true"] };

function refusal(request: Request): BelayError | undefined {
  try {
    validateExec(create(ExecSandboxRequestSchema, { ...good, ...request }), limits);
    return undefined;
  } catch (error) {
    if (error instanceof BelayError) return error;
    throw error;
  }
}

const KEYS = "environment keys must match ^[A-Za-z_][A-Za-z0-9_]*$";

const refused: [string, Request, string][] = [
  ["no sandbox", { sandboxId: "" }, "sandbox_id is required"],
  ["no sandbox and no command", { sandboxId: "", command: [] }, "sandbox_id is required"],
  ["no command", { command: [] }, "command is required"],
  ["no program", { command: ["", "x"] }, "command[0] is empty: it names the program to run"],
  ["many arguments", { command: ["a", "b", "c", "d", "e"] }, "command has more than 4 arguments"],
  ["NUL in an argument", { command: ["a", "S\0"] }, "command[1] contains a NUL byte"],
  ["a long argument", { command: ["a", "éééééé"] }, "command[1] is longer than 10 bytes"],
  ["a long workdir", { workdir: "/SECRET/dir" }, "workdir is longer than 10 bytes"],
  ["NUL in the workdir", { workdir: "/S\0" }, "workdir contains a NUL byte"],
  ["a key with a digit first", { environment: { "1A": "x" } }, KEYS],
  ["an empty key", { environment: { "": "x" } }, KEYS],
  ["a key with =", { environment: { "A=SECRET": "x" } }, KEYS],
  ["a key with a newline after it", { environment: { "A\n": "x" } }, KEYS],
  ["a key in another script", { environment: { É: "x" } }, KEYS],
  ["NUL in a value", { environment: { A: "S\0" } }, "environment value of A contains a NUL byte"],
  [
    "a long value",
    { environment: { A: "SECRETSECRET" } },
    "environment value of A is longer than 10 bytes",
  ],
  [
    "many variables",
    { environment: { A: "1", B: "2", C: "3" } },
    "environment has more than 2 entries",
  ],
  [
    "a large environment",
    { environment: { A: "123456", B: "12345" } },
    "environment is larger than 12 bytes",
  ],
  ["a wide terminal", { tty: true, cols: 101 }, "cols and rows are at most 100"],
  ["a high terminal", { tty: true, rows: 101 }, "cols and rows are at most 100"],
];

describe("validateExec", () => {
  it.each(refused)("refuses %s", (_what, request, message) => {
    expect(refusal(request)).toMatchObject({
      kind: "invalid_request",
      message,
      outcome: "not_started",
      retry: "never",
    });
  });

  it.each(refused)("quotes no value when it refuses %s", (_what, request) => {
    expect(refusal(request)?.message).not.toContain("SECRET");
  });

  it.each(["a/b", "..\\x", "sb 1", "sb\n", "é", "x".repeat(129)])(
    "takes the malformed id %j for that of a sandbox which is not there",
    (sandboxId) => {
      expect(refusal({ sandboxId })).toMatchObject({
        kind: "sandbox_not_found",
        message: "sandbox not found",
      });
    },
  );

  it("accepts what is just within each limit", () => {
    const request: Request = {
      command: ["éééée", "", "-x", "\n"],
      workdir: "/123456789",
      environment: { _a1: "12345", B: "x" },
      cols: 100,
      rows: 100,
      timeoutSeconds: 0xff_ff_ff_ff,
    };
    expect(refusal(request)).toBeUndefined();
  });
});
