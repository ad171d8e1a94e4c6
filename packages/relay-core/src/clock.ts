// clock.ts: the only place that touches the machine's timers, so that tests never sleep.

export interface Timer {
  /** No effect once the timer has fired or was cancelled. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds from an arbitrary start; never a date. */
  now(): number;
  /** Calls `fire` once, `delayMs` from now. A pending timer does not keep the process alive. */
  setTimer(delayMs: number, fire: () => void): Timer;
  /**
   * Resolves after the event loop has looked at its sockets and pipes once more. Timers run before
   * I/O: after a stall, a timer fires although the byte that it waited for is already there.
   */
  pollIo(): Promise<void>;
}

/** `setTimeout` takes a longer delay for 1 ms. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(delayMs, fire) {
    let timer: NodeJS.Timeout;
    const start = (leftMs: number) => {
      const nowMs = Math.min(leftMs, LONGEST_TIMEOUT_MS);
      timer = setTimeout(() => (leftMs > nowMs ? start(leftMs - nowMs) : fire()), nowMs);
      timer.unref();
    };
    start(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  // Two turns: the first may run in the phase right before poll.
  pollIo: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
};

/** Milliseconds since 1970, to be shown to people: it may jump, so nothing is measured or bounded by it. */
export function epochMs(): number {
  return Date.now();
}

/** Keeps the process running until disposed, which nothing that only waits for a timer does. */
export function keepProcessAlive(): Disposable {
  const timer = setInterval(() => {}, LONGEST_TIMEOUT_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Resolves `delayMs` from now. @throws the signal's reason when it aborts first. */
export function sleep(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const onAbort = () => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
