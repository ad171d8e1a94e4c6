// process-handle.ts: a process that we started, whichever way its input and output are connected.
import type { Readable, Writable } from "node:stream";

/** What the kernel said of a process's end. */
export type ProcessEnd =
  | { readonly is: "exited"; readonly exitCode: number }
  | { readonly is: "signaled"; readonly signal: NodeJS.Signals };

/** Leader of a session and of a process group of its own: the group's id is its pid. */
export interface ProcessHandle {
  readonly pid: number;
  /** Resolves with the process's own end. Output may come after it, and from others. */
  readonly exited: Promise<ProcessEnd>;
  /** Its `end()` lets the process see the end of its input. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Missing with a terminal, which has one output for both. */
  readonly stderr: Readable | undefined;
  /** Tells a terminal its size. No effect without one, and after the exit. */
  resize(size: TerminalSize): void;
  /** Lets go of our ends of its input and output; who still writes gets SIGPIPE, or SIGHUP. */
  close(): void;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** - `line`: what a shell reads, as SSH has it.
 *  - `argv`: no shell reads it. */
export type Command =
  | { readonly is: "line"; readonly line: string }
  | {
      readonly is: "argv";
      readonly argv: readonly string[];
      /** Empty: the supervisor's own. */
      readonly workdir: string;
    };

export interface ProcessSpec {
  /** Absolute path of the shell. */
  readonly shell: string;
  readonly command: Command;
  readonly environment: Readonly<Record<string, string>>;
}

/** Expected failures of a start (no such shell, too many processes, too long a command) are values. */
export type StartResult =
  | { readonly is: "started"; readonly process: ProcessHandle }
  | { readonly is: "failed"; readonly error: Promise<Error> };
