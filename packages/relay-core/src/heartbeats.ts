// heartbeats.ts: proof that the peer's program makes progress. Each side sends on its own, and checks.
import { BelayError } from "@belay/protocol";
import type { Clock } from "./clock.ts";
import { sleep } from "./clock.ts";
import { watchLiveness } from "./liveness-watch.ts";

export interface HeartbeatLimits {
  /** Between two heartbeats of ours. Default 10_000. 0: none are sent, none are expected. */
  readonly intervalMs: number;
  /** How many of the peer's may be missed in a row. Default 3. */
  readonly missed: number;
}

export interface HeartbeatPeer {
  /** Who is watched, as the error names it. */
  readonly name: string;
  /** Messages received so far, of any kind: each proves progress. */
  received(): number;
  send(): void;
}

/**
 * Sends heartbeats until the signal aborts.
 * @throws BelayError `session_lost` when the peer has said nothing for `missed` intervals.
 */
export async function exchangeHeartbeats(
  peer: HeartbeatPeer,
  limits: HeartbeatLimits,
  clock: Clock,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (limits.intervalMs <= 0) return;
  signal.throwIfAborted();
  const dead = new AbortController();
  const deadAfterMs = limits.intervalMs * limits.missed;
  const watch = watchLiveness(
    {
      seen: () => peer.received(),
      onDead: () =>
        dead.abort(
          new BelayError("session_lost", `${peer.name}: no heartbeat within ${deadAfterMs} ms`),
        ),
    },
    { probeEveryMs: 0, deadAfterMs },
    clock,
  );
  try {
    const either = AbortSignal.any([signal, dead.signal]);
    for (;;) {
      peer.send();
      await sleep(limits.intervalMs, clock, either);
    }
  } finally {
    watch.stop();
  }
}
