// exec-fences.ts: ids under which nothing may be started any more: a cancel overtook the start, or the
// exec has been run and forgotten. So a late start, or a late retry, runs nothing.
import type { Clock } from "@belay/relay-core";

export type Fence = "canceled" | "forgotten";

export interface FenceLimits {
  /** How long a fence stands. */
  readonly fenceMs: number;
  /** How many stand; the oldest falls. */
  readonly fences: number;
}

export class ExecFences {
  readonly #limits: FenceLimits;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #fences = new Map<string, { readonly why: Fence; readonly untilMs: number }>();

  constructor(limits: FenceLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#fences.size;
  }

  add(execId: string, why: Fence): void {
    this.#dropExpired();
    this.#fences.delete(execId);
    this.#fences.set(execId, { why, untilMs: this.#clock.now() + this.#limits.fenceMs });
    if (this.#fences.size > this.#limits.fences) this.#dropOldest();
  }

  at(execId: string): Fence | undefined {
    this.#dropExpired();
    return this.#fences.get(execId)?.why;
  }

  #dropExpired(): void {
    const nowMs = this.#clock.now();
    for (const [execId, { untilMs }] of this.#fences) {
      if (untilMs > nowMs) return;
      this.#fences.delete(execId);
    }
  }

  #dropOldest(): void {
    for (const execId of this.#fences.keys()) return void this.#fences.delete(execId);
  }
}
