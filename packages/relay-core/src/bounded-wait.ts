// bounded-wait.ts: every wait for a peer has a name, a bound and an error.
import { BelayError } from "@belay/protocol";
import type { ErrorIds, ErrorKind, Outcome } from "@belay/protocol";
import type { Clock } from "./clock.ts";
import { linkedAbort } from "./until-abort.ts";

export interface Wait {
  /** What is awaited, as the error says it. */
  readonly what: string;
  readonly limitMs: number;
  readonly kind: ErrorKind;
  /** The whole text of the error, where clients match on it. */
  readonly message?: string;
  readonly outcome?: Outcome;
  readonly ids?: ErrorIds;
}

/**
 * Runs `work` and gives its result, unless `limitMs` passes first. The signal handed to `work`
 * aborts at the limit and with the caller's signal.
 *
 * The limit is judged only after the event loop has looked at its I/O once more, so that a stall
 * of our own never convicts a peer that has already answered.
 *
 * @throws BelayError of `wait.kind` at the limit, or the signal's reason.
 */
export async function waitAtMost<T>(
  wait: Wait,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<T>,
  { signal }: { signal: AbortSignal },
): Promise<T> {
  signal.throwIfAborted();
  using abort = linkedAbort(signal);
  let limit: { cancel(): void } | undefined;
  let settled = false;
  try {
    return await new Promise<T>((resolve, reject) => {
      abort.signal.addEventListener("abort", () => reject(abort.signal.reason as Error));
      limit = clock.setTimer(wait.limitMs, () => {
        // Not after the result: what `work` gave may live on with the signal.
        void clock.pollIo().then(() => settled || abort.abort(expired(wait)));
      });
      work(abort.signal)
        .finally(() => (settled = true))
        .then(resolve, reject);
    });
  } finally {
    limit?.cancel();
  }
}

function expired(wait: Wait): BelayError {
  const message = wait.message ?? `${wait.what}: no answer within ${wait.limitMs} ms`;
  return new BelayError(wait.kind, message, {
    ...(wait.outcome && { outcome: wait.outcome }),
    ...(wait.ids && { ids: wait.ids }),
  });
}
