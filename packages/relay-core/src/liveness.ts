// liveness.ts: when is a silent peer to be asked, and when is it dead? One rule for HTTP/2 PING, SSH
// keepalive and heartbeats. Pure: ticks and counters in, a verdict out.

/** An interval of 0 switches a watch off: the peer is then never asked and never dead. */
export interface LivenessLimits {
  /** Ask after this much silence, and again after each further such span. 0: never ask. */
  readonly probeEveryMs: number;
  /** Dead after this much silence. 0: never. */
  readonly deadAfterMs: number;
}

export interface LivenessState {
  /** Whatever only grows while the peer lives: bytes on the raw socket, messages. */
  readonly seen: number;
  readonly silentMs: number;
  readonly probes: number;
}

export type LivenessVerdict = "alive" | "probe" | "dead";

export const initialLiveness: LivenessState = { seen: -1, silentMs: 0, probes: 0 };

/** A twentieth of the shorter span, so that a verdict is late by 5 % at most; at least 5 ms. */
export function livenessTickMs({ probeEveryMs, deadAfterMs }: LivenessLimits): number {
  return Math.max(5, Math.min(probeEveryMs || deadAfterMs, deadAfterMs || probeEveryMs) / 20);
}

/**
 * @param elapsedMs since the last tick. Counts for one tick at most: while our own event loop was
 * blocked, the peer's answer may have waited in the socket, so the stall is not held against it.
 */
export function onLivenessTick(
  state: LivenessState,
  { seen, elapsedMs }: { seen: number; elapsedMs: number },
  limits: LivenessLimits,
): { state: LivenessState; verdict: LivenessVerdict } {
  if (seen !== state.seen) return { state: { seen, silentMs: 0, probes: 0 }, verdict: "alive" };

  const silentMs = state.silentMs + Math.min(elapsedMs, livenessTickMs(limits));
  if (limits.deadAfterMs > 0 && silentMs >= limits.deadAfterMs) {
    return { state: { ...state, silentMs }, verdict: "dead" };
  }
  if (limits.probeEveryMs > 0 && silentMs >= limits.probeEveryMs * (state.probes + 1)) {
    return { state: { seen, silentMs, probes: state.probes + 1 }, verdict: "probe" };
  }
  return { state: { ...state, silentMs }, verdict: "alive" };
}
