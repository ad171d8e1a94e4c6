// belay-error.ts: the one error class that crosses a module boundary in Belay.
import { ERROR_KINDS, retryAdvice } from "./error-kinds.ts";
import type { ErrorKind, Outcome, RetryAdvice } from "./error-kinds.ts";

/** The ids under which the logs know the thing that failed. */
export interface ErrorIds {
  readonly sandboxId?: string;
  readonly execId?: string;
  readonly sessionId?: string;
  readonly channelId?: string;
}

export interface BelayErrorOptions {
  /** Defaults to the kind's own (see ERROR_KINDS). */
  readonly outcome?: Outcome;
  readonly ids?: ErrorIds;
  /** Stays in the log; never sent to a peer. */
  readonly cause?: unknown;
}

export class BelayError extends Error {
  override readonly name = "BelayError";
  readonly kind: ErrorKind;
  readonly outcome: Outcome;
  readonly ids: ErrorIds;

  constructor(kind: ErrorKind, message: string, options: BelayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.outcome = options.outcome ?? ERROR_KINDS[kind].outcome;
    this.ids = options.ids ?? {};
  }

  get retry(): RetryAdvice {
    return retryAdvice(this.kind, this.outcome);
  }

  /** The same error, with what its catcher knows besides. Ids that are set already stay. */
  with(known: { outcome?: Outcome; ids?: ErrorIds }): BelayError {
    return new BelayError(this.kind, this.message, {
      outcome: known.outcome ?? this.outcome,
      ids: { ...known.ids, ...this.ids },
      cause: this.cause,
    });
  }
}
