// validate-exec.ts: refuses what cannot be run before anything is opened for it.
import { BelayError, isSandboxId } from "@belay/protocol";
import type { ExecSandboxRequest } from "@belay/protocol";
import type { GatewayLimits } from "../limits.ts";

const ENVIRONMENT_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Pure. @throws BelayError `invalid_request`; no text quotes a value, which may be a secret.
 */
export function validateExec(request: ExecSandboxRequest, limits: GatewayLimits): void {
  if (request.sandboxId === "") invalid("sandbox_id is required");
  if (request.command.length === 0) invalid("command is required");
  // A malformed id names no sandbox, as an unknown one does.
  if (!isSandboxId(request.sandboxId))
    throw new BelayError("sandbox_not_found", "sandbox not found");

  validateCommand(request.command, limits);
  if (Buffer.byteLength(request.workdir) > limits.workdirBytes) {
    invalid(`workdir is longer than ${limits.workdirBytes} bytes`);
  }
  if (request.workdir.includes("\0")) invalid("workdir contains a NUL byte");
  validateEnvironment(request.environment, limits);
  if (request.cols > limits.terminalCells || request.rows > limits.terminalCells) {
    invalid(`cols and rows are at most ${limits.terminalCells}`);
  }
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

function invalid(message: string): never {
  throw new BelayError("invalid_request", message);
}
