// pipe-pool.ts: ordinary anonymous pipes, which Node itself cannot make, ready before they are needed.
//
// Node connects a child through socket pairs, and a socket cannot be opened by name: `echo > /dev/stdout`
// fails with ENXIO. FIFOs can, but opening one whose writer has already closed waits for ever, so that
// `cat /dev/stdin` hangs whenever its input was short. Only an anonymous pipe, as every shell uses, does
// neither. A shell makes one for each here-document and keeps its reading end, and Linux lets us open
// what another process of ours holds, under /proc: so a short-lived shell makes a batch, we take hold of
// it, the shell ends. One fork serves about twenty execs.
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { BelayError } from "@belay/protocol";
import { waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";

/** One pipe, held by one descriptor for both ends; `reopen` gives an end by itself. */
export type PooledPipe = number;

export interface PipePoolOptions {
  /** Pipes to keep ready: one batch. */
  readonly size: number;
  readonly helperMs: number;
  readonly clock: Clock;
  /** Called once, when this system makes no pipes in that way. */
  readonly onUnsupported: (cause: unknown) => void;
}

export class PipePool implements Disposable {
  readonly #options: PipePoolOptions;
  readonly #closed = new AbortController();
  readonly #ready: PooledPipe[] = [];
  #refilling: Promise<void> | undefined;
  #supported = true;

  constructor(options: PipePoolOptions) {
    this.#options = options;
  }

  /**
   * The caller owns the pipes and closes them. `undefined`: this system makes none (see
   * `onUnsupported`).
   * @throws BelayError `exec_start_failed`, for instance when there are no descriptors left.
   */
  async take(
    count: number,
    { signal }: { signal: AbortSignal },
  ): Promise<PooledPipe[] | undefined> {
    while (this.#supported && this.#ready.length < count) {
      await this.#refill();
      signal.throwIfAborted();
    }
    if (!this.#supported) return undefined;
    const taken = this.#ready.splice(-count);
    // Ahead of need, so that hardly any exec waits; a failure is told to whoever finds the pool empty.
    if (this.#ready.length < this.#options.size / 2) this.#refill().catch(() => {});
    return taken;
  }

  /** Takes back pipes that were not used. */
  giveBack(pipes: readonly PooledPipe[]): void {
    const { size } = this.#options;
    const isFull = this.#ready.length + pipes.length > size * 1.5; // what a batch may leave at most
    if (isFull || this.#closed.signal.aborted) closePipes(pipes);
    else this.#ready.push(...pipes);
  }

  [Symbol.dispose](): void {
    this.#closed.abort(new BelayError("supervisor_stopping", "supervisor is stopping"));
    closePipes(this.#ready.splice(0));
  }

  #refill(): Promise<void> {
    this.#refilling ??= this.#makeBatch().finally(() => (this.#refilling = undefined));
    return this.#refilling;
  }

  async #makeBatch(): Promise<void> {
    const { signal } = this.#closed;
    const wait = {
      what: "pipes from a helper shell",
      limitMs: this.#options.helperMs,
      kind: "exec_start_failed",
    } as const;
    const made: PooledPipe[] = [];
    try {
      await waitAtMost(wait, this.#options.clock, (s) => makePipes(this.#options.size, made, s), {
        signal,
      });
      this.#ready.push(...made);
    } catch (error) {
      closePipes(made);
      if (!(error instanceof PipesUnsupported)) throw asStartFailure(error);
      if (this.#supported) this.#options.onUnsupported(error);
      this.#supported = false;
    }
  }
}

/** One end of a pipe as a description of its own: its flags are not shared with the other's. */
export function reopen(pipe: PooledPipe, flags: number): number {
  return openSync(`/proc/self/fd/${pipe}`, flags);
}

export function closePipes(pipes: readonly PooledPipe[]): void {
  for (const pipe of pipes) closeSync(pipe);
}

class PipesUnsupported extends Error {
  override readonly name = "PipesUnsupported";
}

/** Redirections beyond one digit are not portable. */
const HELPER_FDS = [3, 4, 5, 6, 7, 8, 9];

/** For each line of input: a pipe on each descriptor, then a line of output. The documents are not
 * empty because some shells give /dev/null for an empty one. */
const HELPER_SCRIPT = [
  "while read -r _; do",
  `exec ${HELPER_FDS.map((fd) => `${fd}<<.`).join(" ")}`,
  ...HELPER_FDS.map(() => "x\n."),
  "echo",
  "done",
].join("\n");

async function makePipes(count: number, made: PooledPipe[], signal: AbortSignal): Promise<void> {
  const helper = spawn("/bin/sh", ["-c", HELPER_SCRIPT], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {},
    detached: true, // a Ctrl-C on the supervisor's terminal is not for it
  });
  try {
    await untilSpawned(helper);
    helper.stdin.on("error", () => {});
    const answers = helper.stdout[Symbol.asyncIterator]();
    while (made.length < count) {
      helper.stdin.write("\n");
      if ((await answers.next()).done) throw new PipesUnsupported("the helper shell ended");
      signal.throwIfAborted();
      for (const fd of HELPER_FDS) made.push(openHeld(`/proc/${helper.pid}/fd/${fd}`));
    }
  } finally {
    helper.kill("SIGKILL");
    helper.stdin?.destroy();
    helper.stdout?.destroy();
  }
}

/** Takes hold of a pipe, and empties it of the here-document. */
function openHeld(path: string): PooledPipe {
  let pipe: number;
  try {
    pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    if (outOfDescriptors(error)) throw error;
    throw new PipesUnsupported("a helper's descriptor cannot be opened", { cause: error });
  }
  if (fstatSync(pipe).isFIFO()) {
    readSync(pipe, Buffer.alloc(16));
    return pipe;
  }
  closeSync(pipe);
  throw new PipesUnsupported("the shell keeps here-documents in files");
}

function untilSpawned(child: ChildProcessByStdio<Writable, Readable, null>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("error", reject); // stays: without a listener, a late error would end the process
    child.once("spawn", resolve);
  });
}

function outOfDescriptors(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "EMFILE" || code === "ENFILE";
}

function asStartFailure(cause: unknown): BelayError {
  if (cause instanceof BelayError) return cause;
  return new BelayError("exec_start_failed", "no pipes for the command", { cause });
}
