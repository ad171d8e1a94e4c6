// handoff.ts: passes values from a task that owns its lifetime to a reader that may vanish at any time.
import { untilAbort } from "./until-abort.ts";

type End = { readonly is: "ended" } | { readonly is: "failed"; readonly error: unknown };

/**
 * One task gives values, one reader iterates; at most `capacity` values wait in between.
 *
 * The reader is a generator of an RPC, which is parked for ever when its stream dies (measured; its
 * `finally` never runs), so nothing on the giving side depends on it.
 */
export class Handoff<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  readonly #values: T[] = [];
  #end: End | undefined;
  #taken: (() => void) | undefined;
  #arrived: (() => void) | undefined;

  /** @param capacity values. Default 1: a slow reader slows the task. */
  constructor({ capacity = 1 }: { capacity?: number } = {}) {
    this.#capacity = capacity;
  }

  /** Gives the value if there is room. False, and nothing happened, when the reader is too slow. */
  offer(value: T): boolean {
    if (this.#values.length >= this.#capacity) return false;
    this.#values.push(value);
    this.#arrived?.();
    return true;
  }

  /** Gives the value as soon as there is room. @throws the signal's reason. */
  async put(value: T, { signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    while (!this.offer(value)) {
      await untilAbort(new Promise<void>((resolve) => (this.#taken = resolve)), signal);
    }
  }

  /** The reader sees the end after the last value. The first end counts. */
  end(): void {
    this.#finish({ is: "ended" });
  }

  /** The reader sees the error after the last value. */
  fail(error: unknown): void {
    this.#finish({ is: "failed", error });
  }

  #finish(end: End): void {
    this.#end ??= end;
    this.#arrived?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      if (this.#values.length > 0) {
        const value = this.#values.shift()!; // short by `capacity`
        this.#taken?.();
        yield value;
      } else if (this.#end) {
        if (this.#end.is === "failed") throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#arrived = resolve));
      }
    }
  }
}
