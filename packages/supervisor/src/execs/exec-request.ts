// exec-request.ts: what a client asks for with one exec.
import { randomUUID } from "node:crypto";
import type { Command, TerminalSize } from "../process/process-handle.ts";

export interface ExecRequest {
  readonly execId: string;
  readonly command: Command;
  readonly environment: Readonly<Record<string, string>>;
  readonly terminal: ExecTerminal | undefined;
}

export interface ExecTerminal {
  /** The value of TERM. */
  readonly term: string;
  readonly size: TerminalSize;
}

/** Under this name the gateway gives the exec its id, and every process of the exec carries it. */
export const EXEC_ID_VARIABLE = "BELAY_EXEC_ID";

const EXEC_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** The id that the gateway gave, if it is one, else a new one. */
export function execIdFrom(given: string | undefined): string {
  return given !== undefined && EXEC_ID.test(given) ? given : randomUUID();
}
