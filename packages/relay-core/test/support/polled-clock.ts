// polled-clock.ts: a manual clock with a socket beside it: bytes that have arrived while the event
// loop was blocked are seen when the loop looks at its I/O, which is after the timers that are due.
import { ManualClock } from "../../src/testing/index.ts";

export class PolledClock extends ManualClock {
  #waiting: (() => void)[] = [];

  /** `deliver` runs at the next look at the I/O. */
  arrives(deliver: () => void): void {
    this.#waiting.push(deliver);
  }

  override pollIo(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const deliver of waiting) deliver();
    return super.pollIo();
  }

  /** The event loop is blocked for this long, runs its timers, and then looks at its I/O. */
  async block(forMs: number): Promise<void> {
    await this.stall(forMs);
    await this.pollIo();
  }
}
