// session-requests.ts: what a client has asked of its SSH session before the command, checked. Pure.
import type { SupervisorLimits } from "../limits.ts";
import type { TerminalSize } from "../process/process-handle.ts";
import { terminalSize } from "../process/terminal-size.ts";
import { execIdFrom, EXEC_ID_VARIABLE } from "../execs/exec-request.ts";
import type { ExecRequest, ExecTerminal } from "../execs/exec-request.ts";

type RequestLimits = Pick<
  SupervisorLimits,
  "commandLineBytes" | "environmentBytes" | "environmentEntries" | "terminalCells"
>;

/**
 * - `every`: the gateway's, which sends what its caller asked for; a refused one fails the command.
 * - `locale`: those that an OpenSSH server takes by default. Clients send others along, unasked.
 */
export type AcceptedVariables = "every" | "locale";

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const LOCALE = /^(?:LANG|LANGUAGE|LC_[A-Z_]+|COLORTERM|NO_COLOR)$/;

export class SessionRequests {
  readonly #limits: RequestLimits;
  readonly #accepted: AcceptedVariables;
  readonly #environment = new Map<string, string>();
  #environmentBytes = 0;
  #terminal: ExecTerminal | undefined;
  /** Many clients ask for variables without wanting an answer: then the command is refused. */
  #refusal: string | undefined;

  constructor(limits: RequestLimits, accepted: AcceptedVariables) {
    this.#limits = limits;
    this.#accepted = accepted;
  }

  /** False when the variable is refused, and with it the command where every variable is accepted. */
  addVariable(name: string, value: string): boolean {
    if (this.#accepted === "locale" && !LOCALE.test(name)) return false;
    const refusal = this.#refusalOf(name, value);
    if (refusal !== undefined) {
      if (this.#accepted === "every") this.#refusal ??= refusal;
      return false;
    }
    this.#environment.set(name, value);
    this.#environmentBytes += byteLength(name, value);
    return true;
  }

  #refusalOf(name: string, value: string): string | undefined {
    const { environmentBytes, environmentEntries } = this.#limits;
    if (!VARIABLE.test(name)) return "an environment key is malformed";
    if (value.includes("\0")) return "an environment value holds NUL";
    const bytes = this.#environmentBytes + byteLength(name, value);
    return this.#environment.size >= environmentEntries || bytes > environmentBytes
      ? "the environment is too large"
      : undefined;
  }

  setTerminal(term: string, size: TerminalSize): boolean {
    if (term.includes("\0")) {
      this.#refusal ??= "the terminal's name holds NUL";
      return false;
    }
    this.#terminal = { term: term || "xterm", size: terminalSize(size, this.#limits) };
    return true;
  }

  /** The exec they make with this command line, or why not. Names and values stay out of the text. */
  execRequest(commandLine: string): { request: ExecRequest } | { refusal: string } {
    if (this.#refusal !== undefined) return { refusal: this.#refusal };
    if (commandLine.includes("\0")) return { refusal: "the command line holds NUL" };
    if (Buffer.byteLength(commandLine) > this.#limits.commandLineBytes) {
      return { refusal: "the command line is too long" };
    }
    const environment = Object.fromEntries(this.#environment);
    return {
      request: {
        execId: execIdFrom(environment[EXEC_ID_VARIABLE]),
        command: { is: "line", line: commandLine },
        environment,
        terminal: this.#terminal,
      },
    };
  }
}

function byteLength(name: string, value: string): number {
  return Buffer.byteLength(name) + Buffer.byteLength(value);
}
