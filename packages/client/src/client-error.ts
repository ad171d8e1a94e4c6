// client-error.ts: what only the client can find wrong. All else is a BelayError.
import type { ErrorIds, Outcome, RetryAdvice } from "@belay/protocol";

const KINDS = {
  /** Bytes are missing, or differ from those that the supervisor has hashed. */
  output_mismatch: "completed",
  /** More output than `maxOutputBytes`; the exec was canceled. */
  output_too_large: "unknown",
} as const satisfies Record<string, Outcome>;

export type ClientErrorKind = keyof typeof KINDS;

/** Of the same shape as a BelayError: `kind`, `outcome`, `retry`, `ids`. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  readonly kind: ClientErrorKind;
  readonly outcome: Outcome;
  readonly ids: ErrorIds;
  /** The command has run: look at the exec before you run it again. */
  readonly retry: RetryAdvice = "follow";

  constructor(kind: ClientErrorKind, message: string, ids: ErrorIds) {
    super(message);
    this.kind = kind;
    this.outcome = KINDS[kind];
    this.ids = ids;
  }
}
