// exec-table.ts: the execs that run, those that nobody follows any more included.
import { BelayError } from "@belay/protocol";
import type { ExecCgroups } from "../process/exec-cgroup.ts";
import { closePipes } from "../process/pipe-pool.ts";
import type { PooledPipe } from "../process/pipe-pool.ts";
import type { StartResult } from "../process/process-handle.ts";
import { ProcessTable } from "../process/process-table.ts";
import { spawnPiped } from "../process/spawn-piped.ts";
import { spawnTerminal } from "../process/spawn-terminal.ts";
import { execEnvironment } from "./exec-environment.ts";
import type { Environment } from "./exec-environment.ts";
import type { ExecClient } from "./exec-client.ts";
import { Exec } from "./exec.ts";
import type { ExecDeps } from "./exec.ts";
import { EXEC_ID_VARIABLE } from "./exec-request.ts";
import type { ExecRequest } from "./exec-request.ts";

export interface ExecTableOptions extends Omit<ExecDeps, "processes" | "cgroup"> {
  /** Gives each exec one, where they are wanted and can be had. */
  readonly cgroups?: ExecCgroups | undefined;
  readonly shell: string;
  readonly inherited: Environment;
  /** Aborts when no new execs are to be started. */
  readonly draining: AbortSignal;
}

/** A start that has an answer at once; the client is asked for only when there is a process. */
export type ExecStart =
  | { readonly is: "started"; run(client: ExecClient): Exec }
  | { readonly is: "failed"; readonly error: Promise<Error> };

export class ExecTable {
  readonly #options: ExecTableOptions;
  readonly #processes: ProcessTable;
  readonly #execs = new Map<string, Exec>();
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: ExecTableOptions) {
    this.#options = options;
    this.#processes = new ProcessTable(EXEC_ID_VARIABLE, options.clock);
  }

  /** The shell that reads the command lines. */
  get shell(): string {
    return this.#options.shell;
  }

  /** What every command inherits. */
  get inherited(): Environment {
    return this.#options.inherited;
  }

  get size(): number {
    return this.#execs.size;
  }

  /**
   * Starts the process in this turn of the event loop, and so has to be followed in it.
   * @param pipes three for a command without a terminal, which are used up in every case.
   */
  start(request: ExecRequest, pipes: readonly PooledPipe[] | undefined): ExecStart {
    const refused = this.#refusal(request);
    if (refused) {
      if (pipes) closePipes(pipes);
      return { is: "failed", error: Promise.resolve(refused) };
    }
    const result = this.#spawn(request, pipes);
    if (result.is === "failed") return result;
    const cgroup = this.#options.cgroups?.enclose(request.execId, result.process.pid);
    return {
      is: "started",
      run: (client) => {
        const exec = new Exec(request.execId, result.process, client, {
          ...this.#options,
          processes: this.#processes,
          cgroup,
        });
        this.#execs.set(exec.id, exec);
        this.#running.set(exec.id, this.#runToEnd(exec));
        return exec;
      },
    };
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  /** Ends them all; `idle()` says when that is done, which has its own bounds. */
  stopAll(): void {
    for (const exec of this.#execs.values()) exec.end("stopped");
  }

  killAllNow(): void {
    for (const exec of this.#execs.values()) exec.killNow();
  }

  async #runToEnd(exec: Exec): Promise<void> {
    try {
      await exec.run();
    } finally {
      this.#execs.delete(exec.id);
      this.#running.delete(exec.id);
    }
  }

  #refusal({ execId }: ExecRequest): BelayError | undefined {
    const { limits, draining } = this.#options;
    if (draining.aborted)
      return new BelayError("supervisor_stopping", "supervisor is stopping", {
        outcome: "not_started",
      });
    if (this.#execs.size >= limits.execs) {
      return new BelayError("limit_exceeded", `${limits.execs} execs run already`);
    }
    // Two execs with one marker could not be told apart when one of them is to be killed.
    if (this.#execs.has(execId)) {
      return new BelayError("exec_start_failed", "an exec with this id runs already");
    }
    return undefined;
  }

  #spawn(request: ExecRequest, pipes: readonly PooledPipe[] | undefined): StartResult {
    const { shell, inherited, clock } = this.#options;
    const { command, terminal } = request;
    const spec = { shell, command, environment: execEnvironment(inherited, request) };
    if (!terminal) return spawnPiped(spec, pipes);
    if (pipes) closePipes(pipes);
    return spawnTerminal({ ...spec, ...terminal }, clock);
  }
}
