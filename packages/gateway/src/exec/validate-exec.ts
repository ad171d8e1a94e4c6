// validate-exec.ts: refuses what cannot be run before anything is opened for it.
import { BelayError, isExecId, isSandboxId } from "@belay/protocol";
import type { ExecSandboxRequest, ExecSpec } from "@belay/protocol";
import type { GatewayLimits } from "../limits.ts";

const ENVIRONMENT_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Pure. @throws BelayError `invalid_request`, or `sandbox_not_found`; no text quotes a value, which may
 * be a secret.
 */
export function validateExec(request: ExecSandboxRequest, limits: GatewayLimits): void {
  if (request.sandboxId === "") invalid("sandbox_id is required");
  if (request.command.length === 0) invalid("command is required");
  validateSandboxId(request.sandboxId);
  validateProgram(request, limits);
  validateTerminalSize(request, limits);
}

/** The same for a durable exec. What its log and its result may cost, the supervisor judges. */
export function validateSpec(spec: ExecSpec | undefined, limits: GatewayLimits): ExecSpec {
  if (!spec) return invalid("spec is required");
  if (spec.command.length === 0) invalid("command is required");
  validateProgram(spec, limits);
  const { terminal } = spec;
  if (terminal) {
    validateTerminalSize(terminal, limits);
    if (terminal.term.includes("\0")) invalid("term contains a NUL byte");
    if (Buffer.byteLength(terminal.term) > limits.argumentBytes) {
      invalid(`term is longer than ${limits.argumentBytes} bytes`);
    }
  }
  return spec;
}

export function validateSandboxId(sandboxId: string): void {
  if (sandboxId === "") invalid("sandbox_id is required");
  // A malformed id names no sandbox, as an unknown one does.
  if (!isSandboxId(sandboxId)) throw new BelayError("sandbox_not_found", "sandbox not found");
}

export function validateExecId(execId: string): void {
  if (execId === "") invalid("exec_id is required");
  if (!isExecId(execId)) {
    invalid("exec_id must be 1 to 128 of letters, digits, '.', '_' and '-'");
  }
}

export function validateTerminalSize(
  { cols, rows }: { readonly cols: number; readonly rows: number },
  { terminalCells }: GatewayLimits,
): void {
  if (cols > terminalCells || rows > terminalCells) {
    invalid(`cols and rows are at most ${terminalCells}`);
  }
}

/** What every form of an exec has. */
function validateProgram(
  { command, workdir, environment }: Pick<ExecSpec, "command" | "workdir" | "environment">,
  limits: GatewayLimits,
): void {
  validateCommand(command, limits);
  if (Buffer.byteLength(workdir) > limits.workdirBytes) {
    invalid(`workdir is longer than ${limits.workdirBytes} bytes`);
  }
  if (workdir.includes("\0")) invalid("workdir contains a NUL byte");
  validateEnvironment(environment, limits);
}

function validateCommand(command: readonly string[], limits: GatewayLimits): void {
  if (command[0] === "") invalid("command[0] is empty: it names the program to run");
  if (command.length > limits.commandArguments) {
    invalid(`command has more than ${limits.commandArguments} arguments`);
  }
  for (const [index, argument] of command.entries()) {
    if (argument.includes("\0")) invalid(`command[${index}] contains a NUL byte`);
    if (Buffer.byteLength(argument) > limits.argumentBytes) {
      invalid(`command[${index}] is longer than ${limits.argumentBytes} bytes`);
    }
  }
}

function validateEnvironment(
  environment: Readonly<Record<string, string>>,
  limits: GatewayLimits,
): void {
  const entries = Object.entries(environment);
  if (entries.length > limits.environmentEntries) {
    invalid(`environment has more than ${limits.environmentEntries} entries`);
  }
  let bytes = 0;
  for (const [key, value] of entries) {
    if (!ENVIRONMENT_KEY.test(key)) invalid("environment keys must match ^[A-Za-z_][A-Za-z0-9_]*$");
    if (value.includes("\0")) invalid(`environment value of ${key} contains a NUL byte`);
    const valueBytes = Buffer.byteLength(value);
    if (valueBytes > limits.argumentBytes) {
      invalid(`environment value of ${key} is longer than ${limits.argumentBytes} bytes`);
    }
    bytes += key.length + valueBytes;
  }
  if (bytes > limits.environmentBytes) {
    invalid(`environment is larger than ${limits.environmentBytes} bytes`);
  }
}

export function invalid(message: string): never {
  throw new BelayError("invalid_request", message);
}
