// open-ssh-call.ts: one command through one `ssh` process, and what a program can tell from its end.
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { sleepMs, startTimer } from "@belay/e2e";
import { StreamCheck } from "../oracles/stream-check.ts";
import { patternStreamOf } from "../work/command.ts";
import type { Call, CallerEnd, CallerView, CallInit } from "./adapter.ts";

export interface OpenSshCallOptions {
  args: string[];
  /** Where ssh writes what it has to say itself. */
  logFile: string;
}

/** What ssh exits with for errors of its own, for a command that exited with it, and for one that died by
 * a signal. */
const ambiguousCode = 255;

export class OpenSshCall implements Call {
  readonly view: Promise<CallerView>;
  readonly #kill: () => void;
  lastMessageMs = 0;
  #hung = false;
  #wished: string | undefined;

  constructor({ exec, command, environment, input }: CallInit, options: OpenSshCallOptions) {
    const startedMs = performance.now();
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const line = ["env", ...settings, ...command].map(quote).join(" ");
    const ssh = spawn("ssh", ["-E", options.logFile, ...options.args, line], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#kill = () => void ssh.kill("SIGKILL");
    ssh.stdin.on("error", () => {}); // a command that reads no more
    ssh.stdin.end(input);

    const { work, caller } = exec;
    // Plain ssh knows no timeouts: whoever wants one ends the client.
    const deadlineMs = caller.deadlineMs ?? (caller.timeoutSeconds ?? Number.NaN) * 1_000;
    const timers = [
      this.#wishAfter(caller.cancelAfterMs ?? Number.NaN, "caller_cancel"),
      this.#wishAfter(deadlineMs, "caller_deadline"),
    ];
    const checks = {
      stdout: new StreamCheck(work.seed, patternStreamOf(work, "stdout")),
      stderr: new StreamCheck(work.seed, patternStreamOf(work, "stderr")),
    };
    const reading = (["stdout", "stderr"] as const).map(async (name) => {
      let first = true;
      for await (const bytes of ssh[name] as AsyncIterable<Buffer>) {
        this.lastMessageMs = performance.now();
        checks[name].push(bytes);
        if (first && caller.pauseMs !== undefined) await sleepMs(caller.pauseMs);
        if (caller.readDelayMs !== undefined) await sleepMs(caller.readDelayMs);
        first = false;
      }
    });
    const exited = Promise.withResolvers<number | null>();
    ssh.once("exit", exited.resolve);
    ssh.once("error", () => exited.resolve(null));

    this.view = (async (): Promise<CallerView> => {
      const code = await exited.promise;
      await Promise.allSettled(reading);
      for (const timer of timers) timer?.cancel();
      const view = {
        startedMs,
        endedMs: performance.now(),
        lastMessageMs: this.lastMessageMs,
        end: this.#hung ? ({ is: "hung" } as const) : this.#endOf(code, ownWords(options.logFile)),
        violations: [],
      };
      const stream = (name: "stdout" | "stderr") => ({
        receivedBytes: checks[name].receivedBytes,
        differences: checks[name].finish(),
      });
      return { ...view, streams: { stdout: stream("stdout"), stderr: stream("stderr") } };
    })();
  }

  giveUp(): void {
    this.#hung = true;
    this.#kill();
  }

  #wishAfter(ms: number, wish: string) {
    if (Number.isNaN(ms)) return undefined;
    return startTimer(ms, () => {
      this.#wished = wish;
      this.#kill();
    });
  }

  #endOf(code: number | null, message: string): CallerEnd {
    if (this.#wished !== undefined)
      return { is: "error", kind: this.#wished, outcome: "unknown", callersOwn: true, message };
    if (code === null || (code === ambiguousCode && message !== ""))
      return { is: "error", kind: "ssh_255", outcome: undefined, callersOwn: false, message };
    return { is: "exit", exitCode: code, signal: "", reason: "", outputIncomplete: false };
  }
}

/** Without the line that it always writes: that it has never seen this host. */
function ownWords(logFile: string): string {
  try {
    const lines = readFileSync(logFile, "utf8").split("\n");
    rmSync(logFile);
    return lines.filter((text) => text !== "" && !text.includes("Permanently added")).join("; ");
  } catch {
    return "";
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
