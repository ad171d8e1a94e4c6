// caller-messages.ts: the messages of a caller that sends many: the first within its bound, and an end
// that is one.
import { ConnectError } from "@connectrpc/connect";
import { BelayError, fromConnectError } from "@belay/protocol";
import { sleep, untilAbort, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";

interface CallerDeps {
  readonly limits: Pick<GatewayLimits, "firstMessageMs" | "callerEndSettleMs">;
  readonly clock: Clock;
}

/**
 * Undefined when the caller ended its stream without one.
 * @throws BelayError `protocol_violation` after `limits.firstMessageMs`; the signal's reason.
 */
export async function firstMessage<T>(
  received: AsyncIterator<T>,
  what: string,
  { limits, clock }: CallerDeps,
  { signal }: { signal: AbortSignal },
): Promise<T | undefined> {
  const wait = { what, limitMs: limits.firstMessageMs, kind: "protocol_violation" } as const;
  const first = await waitAtMost(wait, clock, () => received.next(), { signal });
  return first.done ? undefined : first.value;
}

/**
 * The messages, to their end. A client of Node's that gives a call up ends its stream just before it
 * resets it, so an end is believed when no reset has followed it: whoever gave up must not look like
 * one that has sent all.
 * @throws what the caller's stream fails with; the signal's reason.
 */
export async function* callerMessages<T>(
  received: AsyncIterator<T>,
  { limits, clock }: CallerDeps,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<T, void, void> {
  for (;;) {
    const next = await untilAbort(received.next(), signal);
    if (next.done) break;
    yield next.value;
  }
  await sleep(limits.callerEndSettleMs, clock, signal);
}

/** What reading from a caller fails with: it sent what is no message, or it is gone. */
export function callersFailure(error: unknown): BelayError {
  if (error instanceof BelayError) return error;
  if (error instanceof ConnectError) return fromConnectError(error);
  return new BelayError("canceled", "the caller canceled or is gone", { cause: error });
}
