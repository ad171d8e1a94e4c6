// manual-clock.ts: time that stands still until a test moves it.
import type { Clock, Timer } from "../clock.ts";

interface PendingTimer {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #pending = new Set<PendingTimer>();

  now(): number {
    return this.#nowMs;
  }

  get pendingTimers(): number {
    return this.#pending.size;
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, order: this.#order++, fire };
    this.#pending.add(timer);
    return { cancel: () => this.#pending.delete(timer) };
  }

  pollIo(): Promise<void> {
    return Promise.resolve();
  }

  /** Fires what is due, in order, and lets promises settle between two timers. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    await settle();
    for (;;) {
      const next = [...this.#pending]
        .filter((timer) => timer.atMs <= untilMs)
        .toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (!next) break;
      this.#pending.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
      await settle();
    }
    this.#nowMs = untilMs;
    await settle();
  }

  /** Time passes while nothing runs, as when the event loop is blocked: due timers fire late. */
  async stall(forMs: number): Promise<void> {
    this.#nowMs += forMs;
    await this.advance(0);
  }

  /** Resolves when at least `count` timers are set. */
  async waitForTimers(count: number): Promise<void> {
    for (let turn = 0; this.#pending.size < count; turn += 1) {
      if (turn === 1_000) throw new Error(`only ${this.#pending.size} of ${count} timers were set`);
      await settle();
    }
  }
}

/** Lets promise chains and setImmediate callbacks run to their end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
