// lean-client.ts: the bench's side of its client: hands it one job at a time and waits, bounded.
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { within } from "../../src/wait.ts";
import type { Job, JobAnswer, JobResults } from "./work.ts";

export interface JobOptions {
  readonly signal: AbortSignal;
  /** Defaults to 60_000. */
  readonly limitMs?: number;
}

const stopLimitMs = 5_000;

export class LeanClient implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** Settles the job at hand. */
  #answered: PromiseWithResolvers<JobAnswer> | undefined;

  constructor() {
    const program = new URL("client-process.ts", import.meta.url);
    this.#child = fork(program, { execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.on("message", (answer: JobAnswer) => this.#answered?.resolve(answer));
    this.#child.on("error", (error) => this.#answered?.reject(error));
    this.#child.on("exit", (code, signal) => {
      this.#answered?.reject(new Error(`the client has ended: ${signal ?? code}`));
      process.off("exit", this.#kill);
      resolve();
    });
    process.once("exit", this.#kill);
  }

  /** Rejects when what the job does fails, when the limit passes, and with the signal's reason when that aborts. */
  async run<J extends Job>(
    job: J,
    { signal, limitMs = 60_000 }: JobOptions,
  ): Promise<JobResults[J["does"]]> {
    signal.throwIfAborted();
    const answered = Promise.withResolvers<JobAnswer>();
    this.#answered = answered;
    const stop = (): void => answered.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      this.#child.send(job, (error) => {
        if (error) answered.reject(error);
      });
      const answer = await within(`"${job.does}" of the client`, limitMs, answered.promise);
      if (answer.is === "failed") throw new Error(answer.message);
      return answer.result as JobResults[J["does"]];
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  readonly #kill = (): void => void this.#child.kill("SIGKILL");

  /** Ends it, and with that its connections and whatever still runs on them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#answered = undefined;
    this.#kill();
    await within("the client to end", stopLimitMs, this.#ended);
  }
}
