// exec-spec.ts: what a durable exec was asked to be: whether that can be run, and whether two are the same.
import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { BelayError, ExecSpecSchema, isExecId } from "@belay/protocol";
import type { ExecSpec } from "@belay/protocol";
import type { SupervisorLimits } from "../../limits.ts";
import { terminalSize } from "../../process/terminal-size.ts";
import type { ExecRequest } from "../exec-request.ts";

/** What most terminal programs know. */
const TERM = "xterm-256color";
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

type SpecLimits = Pick<
  SupervisorLimits,
  "environmentBytes" | "environmentEntries" | "execLog" | "maxRetentionMs" | "terminalCells"
>;

/**
 * Pure. No text quotes a value, which may be a secret.
 * @throws BelayError `invalid_request`. How long a command may be is the kernel's to say.
 */
export function execRequest(execId: string, spec: ExecSpec, limits: SpecLimits): ExecRequest {
  const { command, workdir, environment, terminal } = spec;
  if (!isExecId(execId)) {
    invalid("exec_id must be 1 to 128 of letters, digits, '.', '_' and '-'");
  }
  if (command.length === 0) invalid("command is required");
  if (command[0] === "") invalid("command[0] is empty: it names the program to run");
  if ([...command, workdir, terminal?.term ?? ""].some((text) => text.includes("\0"))) {
    invalid("command, workdir and term must not contain NUL");
  }
  checkEnvironment(environment, limits);
  if (spec.logBytes > limits.execLog.maxBytes) {
    invalid(`log_bytes is at most ${limits.execLog.maxBytes}`);
  }
  if (spec.retentionMs > limits.maxRetentionMs) {
    invalid(`retention_ms is at most ${limits.maxRetentionMs}`);
  }
  return {
    execId,
    command: { is: "argv", argv: command, workdir },
    environment,
    terminal: terminal && {
      term: terminal.term || TERM,
      size: terminalSize(terminal, limits),
    },
  };
}

function checkEnvironment(environment: Readonly<Record<string, string>>, limits: SpecLimits): void {
  const entries = Object.entries(environment);
  if (entries.length > limits.environmentEntries) {
    invalid(`environment has more than ${limits.environmentEntries} entries`);
  }
  let bytes = 0;
  for (const [key, value] of entries) {
    if (!VARIABLE.test(key)) invalid("environment keys must match ^[A-Za-z_][A-Za-z0-9_]*$");
    if (value.includes("\0")) invalid("environment values must not contain NUL");
    bytes += key.length + Buffer.byteLength(value);
  }
  if (bytes > limits.environmentBytes) {
    invalid(`environment is larger than ${limits.environmentBytes} bytes`);
  }
}

/** Equal specs, and no others, have equal digests, in whichever order their variables come. */
export function specDigest(spec: ExecSpec): string {
  const variables = Object.entries(spec.environment).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const ordered = create(ExecSpecSchema, { ...spec, environment: Object.fromEntries(variables) });
  return createHash("sha256").update(toBinary(ExecSpecSchema, ordered)).digest("base64");
}

function invalid(message: string): never {
  throw new BelayError("invalid_request", message);
}
