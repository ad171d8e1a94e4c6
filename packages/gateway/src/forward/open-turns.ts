// open-turns.ts: forwards of one sandbox are opened a few at a time. A burst of them waits in line
// instead of being refused, and leaves room among the pending relays to the execs.
import { untilAbort, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";

interface Line {
  opening: number;
  /** As long as the forwards that were admitted. */
  readonly waiting: Set<() => void>;
}

export class OpenTurns {
  readonly #limits: GatewayLimits;
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();

  constructor(limits: GatewayLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** The turn is over when it is disposed. @throws BelayError `relay_open_timeout`. */
  async take(sandboxId: string, { signal }: { signal: AbortSignal }): Promise<Disposable> {
    signal.throwIfAborted();
    const line = this.#lines.get(sandboxId) ?? { opening: 0, waiting: new Set() };
    this.#lines.set(sandboxId, line);
    const turn = { [Symbol.dispose]: () => this.#next(sandboxId, line) };
    if (line.opening < this.#limits.forwardsOpeningPerSandbox) {
      line.opening += 1;
      return turn;
    }
    const wait = {
      what: "a turn to open the relay",
      limitMs: this.#limits.relayWaitMs,
      kind: "relay_open_timeout",
      message: "relay open timed out",
      ids: { sandboxId },
    } as const;
    const called = Promise.withResolvers<void>();
    line.waiting.add(called.resolve);
    try {
      await waitAtMost(wait, this.#clock, (s) => untilAbort(called.promise, s), { signal });
      return turn;
    } catch (error) {
      // Called in the very turn in which it gave up: the next in line is to be called instead.
      if (!line.waiting.delete(called.resolve)) this.#next(sandboxId, line);
      throw error;
    }
  }

  #next(sandboxId: string, line: Line): void {
    const [next] = line.waiting;
    if (next) {
      line.waiting.delete(next);
      next();
      return;
    }
    line.opening -= 1;
    if (line.opening === 0) this.#lines.delete(sandboxId);
  }
}
