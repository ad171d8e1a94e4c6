// termination.ts: ends a command that runs: TERM, a grace, KILL. The supervisor reports the exit when
// the whole process group is gone, so the exit is also the proof.
import type { Clock, Timer } from "@belay/relay-core";

export type TerminationReason = "timed_out" | "canceled";

/** One way only: running → asked (TERM sent) → forced (KILL sent). */
export type TerminationState =
  | { readonly is: "running" }
  | { readonly is: "asked"; readonly reason: TerminationReason }
  | { readonly is: "forced"; readonly reason: TerminationReason };

export interface TerminationOptions {
  /** Milliseconds between TERM and KILL. */
  readonly graceMs: number;
  readonly clock: Clock;
  /** Called when KILL was sent: from now on the wait for the end is bounded. */
  readonly onForced: () => void;
}

export class Termination implements Disposable {
  readonly #sendSignal: (name: "TERM" | "KILL") => void;
  readonly #options: TerminationOptions;
  #state: TerminationState = { is: "running" };
  #graceTimer: Timer | undefined;

  constructor(sendSignal: (name: "TERM" | "KILL") => void, options: TerminationOptions) {
    this.#sendSignal = sendSignal;
    this.#options = options;
  }

  get state(): TerminationState {
    return this.#state;
  }

  /** The first reason counts. */
  begin(reason: TerminationReason): void {
    if (this.#state.is !== "running") return;
    const { graceMs, clock, onForced } = this.#options;
    this.#state = { is: "asked", reason };
    this.#sendSignal("TERM");
    this.#graceTimer = clock.setTimer(graceMs, () => {
      this.#state = { is: "forced", reason };
      this.#sendSignal("KILL");
      onForced();
    });
  }

  [Symbol.dispose](): void {
    this.#graceTimer?.cancel();
  }
}
