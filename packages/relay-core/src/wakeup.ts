// wakeup.ts: one reader waits for "something has changed", several events announce it.
import type { Clock } from "./clock.ts";

export interface WakeupWait {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Milliseconds. Infinity waits for as long as it takes. */
  readonly limitMs: number;
}

/** A wake-up that comes while nobody waits is kept, once, so no change is missed. */
export class Wakeup {
  #pending = false;
  #wake: (() => void) | undefined;

  readonly notify = (): void => {
    this.#pending = true;
    this.#wake?.();
  };

  /**
   * True at the next notification, false when the limit passes first; that is decided only after the
   * event loop has looked at its I/O once more. One waiter at a time. @throws the signal's reason.
   */
  async wait({ signal, clock, limitMs }: WakeupWait): Promise<boolean> {
    signal.throwIfAborted();
    if (!this.#pending) await this.#sleep(signal, clock, limitMs);
    const notified = this.#pending;
    this.#pending = false;
    return notified;
  }

  #sleep(signal: AbortSignal, clock: Clock, limitMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let settled = false;
      const settle = (finish: () => void) => {
        if (settled) return; // by now `#wake` may belong to the next wait
        settled = true;
        this.#wake = undefined;
        timer?.cancel();
        signal.removeEventListener("abort", onAbort);
        finish();
      };
      const onAbort = () => settle(() => reject(signal.reason as Error));
      const onLimit = () => void clock.pollIo().then(() => settle(resolve));
      const timer = limitMs === Infinity ? undefined : clock.setTimer(limitMs, onLimit);
      signal.addEventListener("abort", onAbort);
      this.#wake = () => settle(resolve);
    });
  }
}
