// SIGTERM and SIGINT as two requests: the first to finish in order, the second to stop at once.

export interface StopSignals extends Disposable {
  /** Aborts at the first signal: take no new work, finish what runs. */
  readonly draining: AbortSignal;
  /** Aborts at the second signal: end what runs. */
  readonly now: AbortSignal;
}

/** Why a program stops: the reason of both signals. */
export class StopRequested extends Error {
  override readonly name = "StopRequested";
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/**
 * Listens until disposed, or until the second signal: a third one then kills, as it does for any program, should
 * stopping at once not come to its end.
 */
export function stopSignals(
  source: SignalSource = process,
  signals: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"],
): StopSignals {
  const draining = new AbortController();
  const now = new AbortController();

  const onSignal = (signal: NodeJS.Signals) => {
    if (!draining.signal.aborted) {
      draining.abort(new StopRequested(signal));
      return;
    }
    stopListening();
    now.abort(new StopRequested(signal));
  };
  const stopListening = () => {
    for (const signal of signals) source.off(signal, onSignal);
  };

  for (const signal of signals) source.on(signal, onSignal);
  return { draining: draining.signal, now: now.signal, [Symbol.dispose]: stopListening };
}

/** The part of `process` that is needed here. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}
