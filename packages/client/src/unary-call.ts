// unary-call.ts: a call that is answered once, made again while only the way to its answer is lost.
import type { CallOptions } from "@connectrpc/connect";
import { waitAtMost } from "@belay/relay-core/portable";
import { Attempts } from "./attempts.ts";
import type { AttemptsOptions } from "./attempts.ts";
import { didNothing, isPathFailure } from "./path-failure.ts";

export interface UnaryCallOptions extends AttemptsOptions {
  readonly signal: AbortSignal;
  /** Milliseconds that the answer may take. Default: `limits.callMs`. */
  readonly callMs?: number;
  /** Whether twice is as good as once. Otherwise it is made again only if it did nothing. Default true. */
  readonly idempotent?: boolean;
}

/** @throws BelayError, or the signal's reason. */
export async function unaryCall<T>(
  call: (options: CallOptions) => Promise<T>,
  options: UnaryCallOptions,
): Promise<T> {
  const { context, signal, what, idempotent = true } = options;
  const { clock, limits } = context;
  const limitMs = options.callMs ?? limits.callMs;
  const wait = { what, limitMs, kind: "deadline_exceeded" } as const;
  const attempts = new Attempts(options);
  for (;;) {
    try {
      return await waitAtMost(wait, clock, (callSignal) => call({ signal: callSignal }), {
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      const mayRepeat = idempotent || didNothing(error);
      await attempts.failed(error, { isPathFailure: mayRepeat && isPathFailure(error), signal });
    }
  }
}
