// spawn-terminal.ts: starts a command on a terminal of its own.
import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { Writable } from "node:stream";
import type { Readable } from "node:stream";
import type { Clock } from "@belay/relay-core";
import type {
  ProcessEnd,
  ProcessHandle,
  ProcessSpec,
  StartResult,
  TerminalSize,
} from "./process-handle.ts";
import { programInShell } from "./program.ts";

type NodePty = typeof import("@lydell/node-pty");

/** Native code: loaded when the first terminal is asked for, and missing on some systems. */
let nodePty: NodePty | undefined;

export interface TerminalSpec extends ProcessSpec {
  /** The value of TERM. */
  readonly term: string;
  readonly size: TerminalSize;
}

export function spawnTerminal(spec: TerminalSpec, clock: Clock): StartResult {
  try {
    nodePty ??= createRequire(import.meta.url)("@lydell/node-pty") as NodePty;
    // Through the shell in every case: node-pty makes an exit code 1 of a program that is not there.
    const { file, args } = programInShell(spec);
    const terminal = nodePty.spawn(file, [...args], {
      name: spec.term,
      cols: spec.size.cols,
      rows: spec.size.rows,
      env: { ...spec.environment },
      encoding: null, // bytes: a decoder would change what is not UTF-8
    }) as unknown as UnixTerminal;
    return { is: "started", process: handle(terminal, clock) };
  } catch (error) {
    return { is: "failed", error: Promise.resolve(error as Error) };
  }
}

/** What we use of node-pty beyond its types. */
interface UnixTerminal {
  readonly pid: number;
  readonly fd: number;
  /** Our end of the terminal. Its high-water mark is 0: nothing is read ahead of the reader. */
  readonly _socket: Readable;
  once(event: string, listener: () => void): void;
  onExit(listener: (end: { exitCode: number; signal?: number }) => void): void;
  resize(cols: number, rows: number): void;
}

function handle(terminal: UnixTerminal, clock: Clock): ProcessHandle {
  reportExitAtOnce(terminal);
  const output = terminal._socket;
  let isOver = false;
  const exited = new Promise<ProcessEnd>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      isOver = true;
      resolve(signal ? { is: "signaled", signal: signalName(signal) } : { is: "exited", exitCode });
    });
  });
  const input = new TerminalInput(terminal.fd, output, clock);
  return {
    pid: terminal.pid,
    exited,
    stdin: input,
    stdout: output,
    stderr: undefined,
    resize({ cols, rows }) {
      if (isOver || output.destroyed) return;
      try {
        terminal.resize(cols, rows);
      } catch {
        // EBADF: the process ended in between.
      }
    },
    close() {
      input.destroy();
      output.destroy();
    },
  };
}

/**
 * node-pty reports an exit only after its socket has closed, and destroys that socket 200 ms after
 * the exit, read or not: a slow reader loses the tail. Both hang on a listener that it adds, at the
 * exit, through `once("close")`. Called at once, the listener reports the exit and takes back the
 * timer; when the output is over is then ours to say.
 */
function reportExitAtOnce(terminal: UnixTerminal): void {
  const once = terminal.once.bind(terminal);
  terminal.once = (event, listener) => (event === "close" ? listener() : once(event, listener));
}

/** Between two tries to write to a terminal that is full, in milliseconds. */
const FULL_TERMINAL_RETRY_MS = 10;
/** What a terminal in its usual mode takes for the end of the input (VEOF, Ctrl-D). */
const END_OF_INPUT = 4;
const NEWLINE = 10;

/**
 * Types into a terminal. Not through node-pty: libuv writes to a terminal's master in blocking mode,
 * so that one program that does not read its input would stop the whole supervisor (measured).
 */
class TerminalInput extends Writable {
  readonly #fd: number;
  readonly #terminal: Readable;
  readonly #clock: Clock;
  #lastByte = NEWLINE;

  constructor(fd: number, terminal: Readable, clock: Clock) {
    super();
    this.#fd = fd;
    this.#terminal = terminal;
    this.#clock = clock;
    this.on("error", () => {});
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    let rest = chunk;
    while (rest.length > 0) {
      // The descriptor's number may already mean something else.
      if (this.destroyed || this.#terminal.destroyed)
        return done(new Error("the terminal is gone"));
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return done(error as Error);
        const remaining = rest;
        this.#clock.setTimer(FULL_TERMINAL_RETRY_MS, () => this._write(remaining, "binary", done));
        return;
      }
    }
    this.#lastByte = chunk.at(-1) ?? this.#lastByte;
    done();
  }

  /** A terminal has no half-close. In the middle of a line, the first VEOF only sends the line off. */
  override _final(done: (error?: Error) => void): void {
    const end = this.#lastByte === NEWLINE ? [END_OF_INPUT] : [END_OF_INPUT, END_OF_INPUT];
    this._write(Buffer.from(end), "binary", done);
  }
}

function signalName(number: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, each]) => each === number);
  return (found?.[0] ?? `SIG${number}`) as NodeJS.Signals;
}
