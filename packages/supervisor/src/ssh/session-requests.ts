// session-requests.ts: what a client has asked of its SSH session before the command, checked. Pure.
import type { SupervisorLimits } from "../limits.ts";
import type { TerminalSize } from "../process/process-handle.ts";
import { execIdFrom, EXEC_ID_VARIABLE } from "../execs/exec-request.ts";
import type { ExecRequest, ExecTerminal } from "../execs/exec-request.ts";

type RequestLimits = Pick<
  SupervisorLimits,
  "commandLineBytes" | "environmentBytes" | "environmentEntries" | "terminalCells"
>;

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const DEFAULT_SIZE: TerminalSize = { cols: 80, rows: 24 };

export class SessionRequests {
  readonly #limits: RequestLimits;
  readonly #environment = new Map<string, string>();
  #environmentBytes = 0;
  #terminal: ExecTerminal | undefined;
  /** Many clients ask for variables without wanting an answer: then the command is refused. */
  #refusal: string | undefined;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
  }

  /** False when the variable is refused, and with it the command. */
  addVariable(name: string, value: string): boolean {
    const bytes = Buffer.byteLength(name) + Buffer.byteLength(value);
    const { environmentBytes, environmentEntries } = this.#limits;
    if (!VARIABLE.test(name)) return this.#refuse("an environment key is malformed");
    if (value.includes("\0")) return this.#refuse("an environment value holds NUL");
    if (
      this.#environment.size >= environmentEntries ||
      this.#environmentBytes + bytes > environmentBytes
    ) {
      return this.#refuse("the environment is too large");
    }
    this.#environment.set(name, value);
    this.#environmentBytes += bytes;
    return true;
  }

  setTerminal(term: string, size: TerminalSize): boolean {
    if (term.includes("\0")) return this.#refuse("the terminal's name holds NUL");
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
        commandLine,
        environment,
        terminal: this.#terminal,
      },
    };
  }

  #refuse(reason: string): false {
    this.#refusal ??= reason;
    return false;
  }
}

/** A side of 0 means that the client does not know. */
export function terminalSize(
  { cols, rows }: TerminalSize,
  { terminalCells }: Pick<SupervisorLimits, "terminalCells">,
): TerminalSize {
  return {
    cols: Math.min(cols || DEFAULT_SIZE.cols, terminalCells),
    rows: Math.min(rows || DEFAULT_SIZE.rows, terminalCells),
  };
}
