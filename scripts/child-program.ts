import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { appendFileSync, openSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

export interface ChildProgramOptions {
  name: string;
  /** What Node runs: the script and its arguments. */
  args: string[];
  /** Takes its whole log; only warnings and errors are also shown. */
  logFile: string;
  /** Aborts when stopping in order takes too long for the user. */
  stopAtOnce: AbortSignal;
}

type LogLine = Readonly<Record<string, unknown>>;

/** Longer than the programs' own limit for a drain, which ends them in order. */
const drainLimitMs = 40_000;
const stopAtOnceLimitMs = 5_000;
const limit = (ms: number) => AbortSignal.timeout(ms);

/** One of our programs as a process of ours: its log is what we wait for, and it never outlives us. */
export class ChildProgram implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  /** Rejects when the program ends, whoever ended it. */
  readonly failsWhenItEnds: Promise<never>;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #stopAtOnce: AbortSignal;
  readonly #seen = new Map<unknown, LogLine>();
  #onLine: (() => void) | undefined;

  static start(options: ChildProgramOptions): ChildProgram {
    return new ChildProgram(options);
  }

  private constructor({ name, args, logFile, stopAtOnce }: ChildProgramOptions) {
    this.name = name;
    this.logFile = logFile;
    this.#stopAtOnce = stopAtOnce;
    writeFileSync(logFile, "", { mode: 0o600 });
    // A process group of its own: Ctrl-C in the terminal reaches only us, and we stop the programs in order.
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ["ignore", openSync(logFile, "a"), "pipe"],
    });
    this.#child = child;
    const killGroup = () => this.#killGroup();
    process.once("exit", killGroup);
    createInterface(child.stderr as NodeJS.ReadableStream).on("line", (line) => this.#take(line));
    const { promise, resolve } = Promise.withResolvers<string>();
    child.once("error", (error) => resolve(`could not start: ${error.message}`));
    child.once("close", (code, signal) => resolve(signal ? `by ${signal}` : `exit code ${code}`));
    this.#ended = promise.then(() => void process.off("exit", killGroup));
    this.failsWhenItEnds = promise.then((how) => {
      throw new Error(`the ${name} ended (${how}). Its log: ${logFile}`);
    });
    // Whoever races against it hears of it; nobody has to.
    this.failsWhenItEnds.catch(() => {});
  }

  /** Resolves with the fields of the first log line of that event. */
  async waitFor(
    event: string,
    { limitMs, signal }: { limitMs: number; signal: AbortSignal },
  ): Promise<LogLine> {
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
    const check = () => {
      const line = this.#seen.get(event);
      if (line) resolve(line);
    };
    const giveUp = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    giveUp.addEventListener("abort", () => {
      reject(
        new Error(`the ${this.name} logged no ${event} within ${limitMs} ms: ${this.logFile}`),
      );
    });
    this.#onLine = check;
    check();
    if (signal.aborted) reject(new Error("stopped"));
    return Promise.race([promise, this.failsWhenItEnds]);
  }

  /** Asks it to end in order, then to end at once, then makes it end; the user can go faster than the limits. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (
      await this.#endsAfter("SIGTERM", AbortSignal.any([this.#stopAtOnce, limit(drainLimitMs)]))
    ) {
      return;
    }
    if (await this.#endsAfter("SIGTERM", limit(stopAtOnceLimitMs))) return;
    this.#killGroup();
    await this.#ended;
  }

  /** Resolves with true once it has ended, with false when `giveUp` comes first. */
  async #endsAfter(signal: NodeJS.Signals, giveUp: AbortSignal): Promise<boolean> {
    this.#child.kill(signal);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (giveUp.aborted) resolve(false);
    giveUp.addEventListener("abort", () => resolve(false));
    return Promise.race([this.#ended.then(() => true), promise]);
  }

  #killGroup(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // The group is gone already.
    }
  }

  #take(text: string): void {
    appendFileSync(this.logFile, `${text}\n`);
    let line: LogLine;
    try {
      line = JSON.parse(text) as LogLine;
    } catch {
      console.error(`[${this.name}] ${text}`); // no log line of ours: a crash, or a complaint about options
      return;
    }
    if (!this.#seen.has(line["event"])) this.#seen.set(line["event"], line);
    const { level, event, time: _time, program: _program, ...fields } = line;
    if (level === "warn" || level === "error") {
      console.error(`[${this.name}] ${level} ${String(event)} ${JSON.stringify(fields)}`);
    }
    this.#onLine?.();
  }
}
