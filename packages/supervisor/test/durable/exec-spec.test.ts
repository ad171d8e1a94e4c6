import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ExecSpecSchema } from "@belay/protocol";
import { execRequest, specDigest } from "../../src/execs/durable/exec-spec.ts";
import { defaultLimits } from "../../src/limits.ts";

type Spec = MessageInitShape<typeof ExecSpecSchema>;

const request = (spec: Spec, execId = "e1") =>
  execRequest(execId, create(ExecSpecSchema, { command: ["true"], ...spec }), defaultLimits);

const digest = (spec: Spec) => specDigest(create(ExecSpecSchema, { command: ["true"], ...spec }));

describe("execRequest", () => {
  it("keeps every argument as it is", () => {
    const command = ["printf", "%s", "a b\n'$HOME' \u{1f9d7}", ""];
    expect(request({ command, workdir: "/tmp" }).command).toEqual({
      is: "argv",
      argv: command,
      workdir: "/tmp",
    });
  });

  it("gives a terminal without a size or a name the usual ones", () => {
    expect(request({ terminal: {} }).terminal).toEqual({
      term: "xterm-256color",
      size: { cols: 80, rows: 24 },
    });
  });

  it.each<[string, Spec, string?]>([
    ["an empty command", { command: [] }],
    ["an empty program", { command: ["", "x"] }],
    ["NUL in an argument", { command: ["echo", "a\0b"] }],
    ["NUL in the directory", { workdir: "a\0b" }],
    ["NUL in the terminal's name", { terminal: { term: "a\0b" } }],
    ["a malformed variable", { environment: { "A-B": "1" } }],
    ["NUL in a variable", { environment: { A: "\0" } }],
    ["a huge environment", { environment: { A: "x".repeat(300_000) } }],
    ["a log beyond the limit", { logBytes: 2n ** 40n }],
    ["a retention beyond the limit", { retentionMs: 2n ** 40n }],
    ["a malformed id", {}, "a/b"],
    ["no id", {}, ""],
  ])("refuses %s", (_what, spec, execId) => {
    expect(() => request(spec, execId)).toThrow(
      expect.objectContaining({ kind: "invalid_request", outcome: "not_started" }),
    );
  });

  it("does not quote values, which may be secret", () => {
    expect(() => request({ environment: { TOKEN: "s3cret\0" } })).not.toThrow(/s3cret/);
  });
});

describe("specDigest", () => {
  it("is the same in whichever order the variables come", () => {
    const one = digest({ environment: { A: "1", B: "2" } });
    expect(digest({ environment: { B: "2", A: "1" } })).toBe(one);
  });

  it.each<[string, Spec]>([
    ["command", { command: ["false"] }],
    ["word boundary", { command: ["tr", "ue"] }],
    ["variable", { environment: { A: "1" } }],
    ["timeout", { timeoutMs: 1n }],
    ["input", { stdin: true }],
    ["terminal", { terminal: {} }],
    ["retention", { retentionMs: 1n }],
  ])("is another with another %s", (_what, spec) => {
    expect(digest(spec)).not.toBe(digest({}));
  });
});
