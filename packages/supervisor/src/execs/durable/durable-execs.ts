// durable-execs.ts: the durable execs of this supervisor, by id: those that run, those whose result is
// still kept, and the ids that must not be run again.
import { BelayError, LogOverflow } from "@belay/protocol";
import type { ExecSpec } from "@belay/protocol";
import type { Log } from "@belay/program";
import { untilAbort } from "@belay/relay-core";
import type { Clock, Timer } from "@belay/relay-core";
import type { SupervisorLimits } from "../../limits.ts";
import type { PipePool } from "../../process/pipe-pool.ts";
import type { ExecRequest } from "../exec-request.ts";
import type { ExecTable } from "../exec-table.ts";
import type { LogBudget } from "../log/log-budget.ts";
import { OutputLog } from "../log/output-log.ts";
import type { SpillDirectory } from "../log/spill-file.ts";
import { DurableExec } from "./durable-exec.ts";
import { ExecFences } from "./exec-fences.ts";
import { execRequest, specDigest } from "./exec-spec.ts";

/** An exec takes three descriptors for its input and outputs. */
const PIPES_PER_EXEC = 3;

export interface DurableExecsOptions {
  readonly execs: ExecTable;
  readonly pipePool: PipePool;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly logBudget: LogBudget;
  /** Where logs go that are too long for memory. */
  readonly spill: SpillDirectory;
  /** Aborts when the supervisor ends at once. */
  readonly signal: AbortSignal;
}

export interface StartOptions {
  /** Whether its log is for the one who starts it, who reads it at once: then it stays in memory, and
   * short. */
  readonly shortLog: boolean;
}

interface Entry {
  readonly exec: DurableExec;
  /** Rejects when it could not be started, after which the id is free again. */
  readonly started: Promise<void>;
  forgetting?: Timer;
  /** Its time is over: it goes with its last follower. */
  isDue: boolean;
}

export class DurableExecs {
  readonly #options: DurableExecsOptions;
  readonly #fences: ExecFences;
  readonly #entries = new Map<string, Entry>();
  /** Those that have ended and are not due, the oldest end first. */
  readonly #ended = new Set<Entry>();
  #onLeft: (() => void) | undefined;

  constructor(options: DurableExecsOptions) {
    this.#options = options;
    this.#fences = new ExecFences(options.limits, options.clock);
  }

  /**
   * The exec under this id: the one that is there, if it was started with an equal spec, or a new one.
   * @throws BelayError `invalid_request`, `exec_conflict`; `exec_fenced` after a cancel; `exec_ended`
   * when it was run and forgotten; `exec_start_failed`, `limit_exceeded`, `supervisor_stopping`.
   */
  async start(execId: string, spec: ExecSpec, options: StartOptions): Promise<DurableExec> {
    const request = execRequest(execId, spec, this.#options.limits);
    const digest = specDigest(spec);
    let entry = this.#entries.get(execId);
    if (!entry) {
      this.#checkFence(execId);
      entry = this.#create(request, { digest, spec, log: this.#newLog(execId, spec, options) });
    } else if (entry.exec.digest !== digest) {
      throw new BelayError("exec_conflict", "this id belongs to an exec with another spec");
    }
    await entry.started;
    return entry.exec;
  }

  /** @throws BelayError `exec_not_found`. */
  get(execId: string): DurableExec {
    const entry = this.#entries.get(execId);
    if (entry) return entry.exec;
    throw new BelayError("exec_not_found", "the sandbox knows no exec with this id");
  }

  /** The newest first. */
  list(): DurableExec[] {
    return [...this.#entries.values()].map(({ exec }) => exec).toReversed();
  }

  /**
   * Ends the exec and gives it when all of it is gone. An id that is not known is fenced, so that a
   * start that comes later runs nothing.
   * @throws the signal's reason.
   */
  async cancel(
    execId: string,
    { signal }: { signal: AbortSignal },
  ): Promise<DurableExec | undefined> {
    const entry = this.#entries.get(execId);
    if (!entry) {
      this.#fences.add(execId, "canceled");
      return undefined;
    }
    await entry.started;
    entry.exec.cancel();
    await ended(entry.exec, { signal });
    return entry.exec;
  }

  /** Resolves when nobody follows any exec: whoever did has been told its end, or has gone. */
  async unfollowed(): Promise<void> {
    while (this.list().some(({ isFollowed }) => isFollowed)) {
      await new Promise<void>((resolve) => (this.#onLeft = resolve));
    }
  }

  /** Lets go of all logs; for the very end. */
  [Symbol.dispose](): void {
    for (const { exec, forgetting } of this.#entries.values()) {
      forgetting?.cancel();
      exec.log.close();
    }
    this.#entries.clear();
  }

  #checkFence(execId: string): void {
    const fence = this.#fences.at(execId);
    if (fence === "canceled") {
      throw new BelayError("exec_fenced", "this exec was canceled before it was started");
    }
    if (fence === "forgotten") {
      throw new BelayError("exec_ended", "this exec has run, and its result was kept no longer");
    }
  }

  #newLog(
    execId: string,
    { logBytes, logOverflow }: ExecSpec,
    { shortLog }: StartOptions,
  ): OutputLog {
    const { limits, log, logBudget, spill } = this.#options;
    const { execLog } = limits;
    const bytes = Number(logBytes) || (shortLog ? execLog.plainBytes : execLog.bytes);
    return new OutputLog({
      logBytes: bytes,
      memoryBytes: shortLog ? bytes : Math.min(bytes, execLog.memoryBytes),
      spill: shortLog ? undefined : spill,
      budget: logBudget,
      overflow: logOverflow === LogOverflow.DROP_OLDEST ? "drop_oldest" : "wait",
      onSpillFailed: (err) => log.error("exec.log_file_failed", { execId, err }),
    });
  }

  #create(
    request: ExecRequest,
    options: { digest: string; spec: ExecSpec; log: OutputLog },
  ): Entry {
    const { execId } = request;
    const exec = new DurableExec(execId, options, {
      ...this.#options,
      onLeft: () => {
        if (entry.isDue) this.#forgetUnfollowed(entry);
        this.#onLeft?.();
      },
    });
    const entry: Entry = { exec, started: this.#run(request, exec), isDue: false };
    this.#entries.set(execId, entry);
    entry.started.catch(() => {
      // Nothing ran: the id is free again.
      this.#entries.delete(execId);
      exec.log.close();
    });
    exec.ended.addEventListener("abort", () => this.#keepResult(entry, options.spec));
    return entry;
  }

  async #run(request: ExecRequest, exec: DurableExec): Promise<void> {
    const { execs, pipePool, signal } = this.#options;
    const pipes = request.terminal ? undefined : await pipePool.take(PIPES_PER_EXEC, { signal });
    const start = execs.start(request, pipes);
    if (start.is === "failed") throw startFailure(await start.error);
    exec.started(start.run(exec));
  }

  #keepResult(entry: Entry, { retentionMs }: ExecSpec): void {
    const { limits, clock } = this.#options;
    const keepMs = Number(retentionMs) || limits.retentionMs;
    entry.forgetting = clock.setTimer(keepMs, () => this.#forgetUnfollowed(entry));
    this.#ended.add(entry);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= limits.endedExecs) return;
      this.#forgetUnfollowed(oldest);
    }
  }

  /** What is being read stays: its reader would be told the exit without the rest of the output. */
  #forgetUnfollowed(entry: Entry): void {
    const { exec, forgetting } = entry;
    forgetting?.cancel();
    this.#ended.delete(entry);
    entry.isDue = true;
    if (exec.isFollowed) return;
    exec.log.close();
    this.#entries.delete(exec.id);
    this.#fences.add(exec.id, "forgotten");
  }
}

/** Bounded by those of the exec's termination. @throws the signal's reason. */
export async function ended(exec: DurableExec, { signal }: { signal: AbortSignal }): Promise<void> {
  if (exec.ended.aborted) return;
  const over = Promise.withResolvers<void>();
  exec.ended.addEventListener("abort", () => over.resolve(), { once: true });
  await untilAbort(over.promise, signal);
}

function startFailure(error: Error): BelayError {
  if (error instanceof BelayError) return error;
  if ((error as NodeJS.ErrnoException).code === "E2BIG") {
    const message = "the command and its environment are longer than the system takes";
    return new BelayError("invalid_request", message, { cause: error });
  }
  const message = "the sandbox could not start the command";
  return new BelayError("exec_start_failed", message, { cause: error });
}
