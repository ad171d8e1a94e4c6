// task-scope.ts: background work belongs to a scope that somebody awaits, so no promise floats.
import { linkedAbort } from "./until-abort.ts";

/**
 * Runs tasks beside each other. The first failure aborts the others, unless `onFailure` takes it:
 * tasks that serve different callers must not end each other. Disposal aborts what still runs and
 * resolves when all of it has ended; it never throws: ask `failure`, or listen on `signal`.
 */
export class TaskScope implements AsyncDisposable {
  readonly name: string;
  readonly #abort: AbortController & Disposable;
  readonly #running = new Set<Promise<void>>();
  readonly #onFailure: (error: unknown) => void;
  #failure: unknown;

  constructor(
    name: string,
    options: { signal: AbortSignal; onFailure?: (error: unknown) => void },
  ) {
    this.name = name;
    this.#abort = linkedAbort(options.signal);
    this.#onFailure = options.onFailure ?? ((error) => this.#abort.abort(error));
  }

  /** Aborts with the parent's signal, with the first failure, and at disposal. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The first failure of a task, if there was one. */
  get failure(): unknown {
    return this.#failure;
  }

  run(task: (signal: AbortSignal) => Promise<void>): void {
    const promise = (async () => {
      try {
        await task(this.signal);
      } catch (error) {
        if (this.signal.aborted) return; // the consequence of an abort is not a failure
        this.#failure ??= error;
        this.#onFailure(error);
      }
    })().finally(() => this.#running.delete(promise));
    this.#running.add(promise);
  }

  abort(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /** Resolves when no task runs any more; aborts nothing. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error(`${this.name} ended`));
    await this.idle();
    this.#abort[Symbol.dispose]();
  }
}
