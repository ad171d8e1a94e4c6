// liveness-watch.ts: keeps the liveness rule running against a clock.
import type { Clock } from "./clock.ts";
import { initialLiveness, livenessTickMs, onLivenessTick } from "./liveness.ts";
import type { LivenessLimits } from "./liveness.ts";

export interface LivenessPeer {
  /** Grows with every sign of life. Bytes of the raw socket, not frames that the program has read:
   * a stalled reader of ours is not a dead peer. */
  seen(): number;
  /** Ask for a sign of life. May do nothing where asking is impossible (HTTP/2 after GOAWAY). */
  probe?(): void;
  /** Called once, after which the watch has ended. */
  onDead(): void;
}

/** Watches until `stop()`, which is idempotent. Limits of 0 make a watch that does nothing. */
export function watchLiveness(
  peer: LivenessPeer,
  limits: LivenessLimits,
  clock: Clock,
): { readonly stop: () => void } {
  if (limits.deadAfterMs <= 0 && limits.probeEveryMs <= 0) return { stop: () => {} };

  const tickMs = livenessTickMs(limits);
  let state = initialLiveness;
  let lastTickMs = clock.now();
  let timer = clock.setTimer(tickMs, tick);
  let stopped = false;

  function tick(): void {
    const nowMs = clock.now();
    const step = onLivenessTick(
      state,
      { seen: peer.seen(), elapsedMs: nowMs - lastTickMs },
      limits,
    );
    state = step.state;
    lastTickMs = nowMs;
    if (step.verdict === "dead") return void clock.pollIo().then(convict);
    timer = clock.setTimer(tickMs, tick);
    if (step.verdict === "probe") peer.probe?.();
  }

  /** Timers run before I/O: after a stall, the tick is over although the answer is already there. */
  function convict(): void {
    if (stopped) return;
    if (peer.seen() === state.seen) return peer.onDead();
    timer = clock.setTimer(tickMs, tick);
  }

  return {
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}
