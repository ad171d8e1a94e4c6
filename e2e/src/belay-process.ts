// belay-process.ts: one of our programs as a real process, with its log as something to wait for.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { LineSplitter, parseLogLine } from "./log-line.ts";
import type { LogLine } from "./log-line.ts";
import { within } from "./wait.ts";

export interface BelayProcessOptions {
  /** For error texts only. */
  name: string;
  /** The script that node runs. */
  script: string;
  args?: readonly string[];
  /** Added to this process's environment; undefined takes a name away. */
  env?: Readonly<Record<string, string | undefined>>;
  cwd?: string;
  /** Options of node itself. */
  nodeArgs?: readonly string[];
  /** Log lines kept, the newest. Defaults to 20_000. */
  maxLogLines?: number;
}

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface WaitForEventOptions {
  /** Which line of that name. Defaults to any. */
  where?: (fields: Record<string, unknown>) => boolean;
  /** Defaults to 15_000. */
  limitMs?: number;
  /** Only lines after this mark count. Defaults to 0: all since the start. */
  after?: number;
}

/** Every process that still runs, so that a test worker that ends early leaves none behind. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** TERM, then so long, then KILL. */
const stopLimitMs = 10_000;
const maxStdoutBytes = 4 * 1024 * 1024;

export class BelayProcess implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended and its output has been read. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  readonly #maxLogLines: number;
  #lines: LogLine[] = [];
  #dropped = 0;
  #stdout: Buffer[] = [];
  #stdoutBytes = 0;
  #exit: ProcessExit | undefined;
  readonly #watchers = new Set<() => void>();

  constructor(options: BelayProcessOptions) {
    this.name = options.name;
    this.#maxLogLines = options.maxLogLines ?? 20_000;
    const { nodeArgs = [], script, args = [] } = options;
    this.#child = spawn(process.execPath, [...nodeArgs, script, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.on("error", (error) =>
      this.#take({ event: "", fields: {}, text: `could not start: ${error.message}` }),
    );
    this.pid = this.#child.pid ?? -1;
    running.add(this.#child);
    const splitter = new LineSplitter((line) => this.#take(parseLogLine(line)));
    this.#child.stderr?.on("data", (bytes: Buffer) => splitter.push(bytes));
    this.#child.stderr?.on("end", () => splitter.flush());
    this.#child.stdout?.on("data", (bytes: Buffer) => this.#takeStdout(bytes));
    this.exited = this.#watchExit();
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** The newest log lines, oldest first. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  /** A place in the log: what is written from now on comes after it. */
  mark(): number {
    return this.#dropped + this.#lines.length;
  }

  /** Lines with that event name, of those that are still kept. */
  events(event: string, after = 0): LogLine[] {
    return this.#lines
      .slice(Math.max(0, after - this.#dropped))
      .filter((line) => line.event === event);
  }

  /**
   * Resolves with the first log line of that name, past lines included.
   * Rejects when the process ends or the limit passes first, with the last lines in the message.
   */
  async waitForEvent(event: string, options: WaitForEventOptions = {}): Promise<LogLine> {
    const { where = () => true, limitMs = 15_000, after = 0 } = options;
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
    const look = (): void => {
      const found = this.events(event, after).find((line) => where(line.fields));
      if (found !== undefined) resolve(found);
      else if (!this.running)
        reject(new Error(`${this.name} ended before ${event}\n${this.tail()}`));
    };
    this.#watchers.add(look);
    look();
    try {
      return await within(`${event} from ${this.name}`, limitMs, promise, () => this.tail());
    } finally {
      this.#watchers.delete(look);
    }
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Stops the program while its kernel side, sockets included, stays as it is. */
  freeze(): void {
    this.kill("SIGSTOP");
  }

  thaw(): void {
    this.kill("SIGCONT");
  }

  /** TERM, a bounded wait, KILL. Resolves when it has ended. */
  async stop(limitMs = stopLimitMs): Promise<ProcessExit> {
    this.thaw();
    this.kill("SIGTERM");
    try {
      return await within(`${this.name} to stop`, limitMs, this.exited);
    } catch {
      this.kill("SIGKILL");
      return await within(`${this.name} to be killed`, stopLimitMs, this.exited);
    }
  }

  /**
   * Resolves when it has ended by itself or by a signal sent before; kills it and rejects when it does not within the limit.
   * @param limitMs Defaults to 30_000.
   */
  async ended(limitMs = 30_000): Promise<ProcessExit> {
    try {
      return await within(`the end of ${this.name}`, limitMs, this.exited, () => this.tail());
    } catch (error) {
      this.kill("SIGKILL");
      throw error;
    }
  }

  /** Resident memory now. */
  async rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
  }

  async openFdCount(): Promise<number> {
    return (await readdir(`/proc/${this.pid}/fd`)).length;
  }

  /** The last log lines as text, for error messages. */
  tail(count = 40): string {
    const state =
      this.#exit === undefined ? "running" : `ended: ${this.#exit.signal ?? this.#exit.code}`;
    const lines = this.#lines.slice(-count).map((line) => `  ${line.text.slice(0, 2_000)}`);
    return [`--- ${this.name} (${state}), last ${lines.length} lines`, ...lines].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #watchExit(): Promise<ProcessExit> {
    const { promise, resolve } = Promise.withResolvers<ProcessExit>();
    const finish = (code: number | null, signal: NodeJS.Signals | null): void =>
      resolve({ code, signal });
    this.#child.once("exit", (code, signal) => {
      running.delete(this.#child);
      // A grandchild that holds stderr must not keep a test waiting for the rest of a log.
      void within("the log's end", 1_000, promise).catch(() => finish(code, signal));
    });
    this.#child.once("close", finish);
    const exit = await promise;
    this.#exit = exit;
    for (const look of this.#watchers) look();
    return exit;
  }

  #take(line: LogLine): void {
    this.#lines.push(line);
    if (this.#lines.length > this.#maxLogLines * 1.25) {
      const tooMany = this.#lines.length - this.#maxLogLines;
      this.#lines = this.#lines.slice(tooMany);
      this.#dropped += tooMany;
    }
    for (const look of this.#watchers) look();
  }

  #takeStdout(bytes: Buffer): void {
    this.#stdoutBytes += bytes.length;
    if (this.#stdoutBytes <= maxStdoutBytes) this.#stdout.push(bytes);
  }
}

/** Runs a program to its end, bounded. For one-shot commands such as `token`. */
export async function runToEnd(
  options: BelayProcessOptions,
  limitMs = 15_000,
): Promise<ProcessExit & { stdout: string; stderr: string }> {
  await using program = new BelayProcess(options);
  const exit = await program.ended(limitMs);
  return {
    ...exit,
    stdout: program.stdout,
    stderr: program.lines.map((line) => line.text).join("\n"),
  };
}
