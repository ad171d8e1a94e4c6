// attempts.ts: how often and how long the way to a gateway, or to an exec, is tried.
import { BelayError, RETRY_LATER_MS, fromConnectError } from "@belay/protocol";
import type { ErrorIds } from "@belay/protocol";
import { backoffMs, failuresAfter, sleep } from "@belay/relay-core/portable";
import type { ClientContext } from "./context.ts";

export interface AttemptsOptions {
  readonly context: ClientContext;
  /** What is tried, for the error at the window's end. */
  readonly what: string;
  /** From the first failure in a row. Asked at each failure: it may grow when somebody was reached. */
  readonly windowMs: () => number;
  /** Whether the exec is known to have been started: then no error may say that it was not. */
  readonly isStarted: boolean;
  readonly ids?: ErrorIds;
}

export class Attempts {
  readonly #options: AttemptsOptions;
  /** In a row, for the backoff. */
  #failures = 0;
  /** In this pause. */
  #pauseFailures = 0;
  #failingSinceMs: number | undefined;
  #attemptAtMs: number;
  #mayHaveRun: boolean;

  constructor(options: AttemptsOptions) {
    this.#options = options;
    this.#mayHaveRun = options.isStarted;
    this.#attemptAtMs = options.context.clock.now();
  }

  /** The other side was there: the next failure begins a new window. */
  answered(): void {
    this.#failingSinceMs = undefined;
    this.#pauseFailures = 0;
  }

  /** Something was achieved: the next failure is tried again at once. */
  progressed(): void {
    this.answered();
    this.#failures = 0;
  }

  /**
   * Resolves when the next try is due.
   * @throws BelayError the reason itself when no further try can help or the window has ended; of an
   * exec that was started, `resume_window_ended` at the window's end.
   */
  async failed(
    reason: unknown,
    options: { isPathFailure: boolean; signal: AbortSignal },
  ): Promise<void> {
    const { context, windowMs, isStarted, what } = this.#options;
    const error = this.#judge(reason);
    if (!options.isPathFailure) throw error;

    const nowMs = context.clock.now();
    const { backoff } = context.limits;
    const lateMs = error.retry === "later" ? RETRY_LATER_MS : 0;
    const waitMs = Math.max(lateMs, backoffMs(this.#failures, backoff, context.random()));
    this.#failures = failuresAfter(this.#failures, nowMs - this.#attemptAtMs, backoff);
    this.#pauseFailures += 1;
    this.#failingSinceMs ??= nowMs;
    const limitMs = windowMs();
    if (nowMs + waitMs - this.#failingSinceMs > limitMs) {
      if (!isStarted) throw error;
      throw new BelayError("resume_window_ended", `${what}: lost for ${limitMs} ms`, {
        outcome: "unknown",
        ids: error.ids,
        cause: error,
      });
    }
    context.onPause({ error, failures: this.#pauseFailures, nextTryInMs: waitMs });
    await sleep(waitMs, context.clock, options.signal);
    this.#attemptAtMs = context.clock.now();
  }

  /** A later error that says "not started" speaks of its own call only: an earlier one may have got through. */
  #judge(reason: unknown): BelayError {
    const error = fromConnectError(reason);
    const known = this.#options.ids ?? {};
    const outcome = this.#mayHaveRun && error.outcome === "not_started" ? "unknown" : error.outcome;
    this.#mayHaveRun ||= outcome !== "not_started";
    return error.with({ outcome, ids: known });
  }
}
