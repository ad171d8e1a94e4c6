// strike-log.ts: injects the faults that are due, one at a time on each path, and knows which of them were
// on an exec's path.
import { startTimer } from "@belay/e2e";
import type { Timer } from "@belay/e2e";
import type { Adapter } from "../adapters/adapter.ts";
import { globalFaults, touches } from "../faults/fault.ts";
import type { Fault, Strike } from "../faults/fault.ts";
import type { PlannedExec } from "../work/plan.ts";

export class StrikeLog {
  strikes: Strike[] = [];
  readonly #adapter: Adapter;
  /** By sandbox, the end of the last strike on its path: two at once would heal each other. */
  readonly #paths = new Map<number | "all", Promise<void>>();
  readonly #running = new Set<Promise<void>>();
  /** Faults whose time has not come. */
  readonly #planned = new Set<Timer>();
  #over = false;
  readonly #onFailure: (text: string) => void;

  /** @param onFailure called when a fault could not be injected, or its path did not get well. */
  constructor(adapter: Adapter, onFailure: (text: string) => void) {
    this.#adapter = adapter;
    this.#onFailure = onFailure;
  }

  /** To be called with the exec: the fault comes so long after it as it says. */
  plan(fault: Fault, exec: PlannedExec): void {
    const timer = startTimer(fault.afterMs, () => {
      this.#planned.delete(timer);
      this.#add(fault, exec);
    });
    this.#planned.add(timer);
  }

  /** Strikes when no other fault is on that path any more. Never rejects. */
  #add(fault: Fault, exec: PlannedExec): void {
    const sandbox = globalFaults.has(fault.kind) ? undefined : exec.sandbox;
    const path = sandbox ?? "all";
    const turn = this.#paths.get(path) ?? Promise.resolve();
    const done = turn.then(() => this.#strike(fault, sandbox, exec.sandbox));
    this.#paths.set(path, done);
    this.#running.add(done);
    void done.then(() => this.#running.delete(done));
  }

  async #strike(fault: Fault, sandbox: number | undefined, of: number): Promise<void> {
    if (this.#over) return;
    const strike: Strike = { fault, sandbox, startedMs: performance.now(), notes: [] };
    this.strikes.push(strike);
    if (!this.#adapter.supports(fault.kind)) {
      strike.skipped = `${this.#adapter.name} has no ${fault.kind}`;
      return;
    }
    try {
      await this.#adapter.strike(fault, of, (text) => strike.notes.push(text));
    } catch (error) {
      // Some of it may have been done: it stays on the path's record, with no end before the run's.
      const message = error instanceof Error ? error.message : String(error);
      strike.notes.push(`failed: ${message.split("\n", 1)[0]}`);
      this.#onFailure(`fault ${fault.id} (${fault.kind}) on ${sandbox ?? "everyone"}: ${message}`);
    }
    strike.wellMs = performance.now();
  }

  touching(exec: { sandbox: number; startedMs: number; endedMs: number | undefined }): Strike[] {
    return this.strikes.filter((strike) => touches(strike, exec));
  }

  /** Lets go of those that were over by then: a run without end would keep them all. */
  forget(beforeMs: number): void {
    this.strikes = this.strikes.filter(({ wellMs }) => wellMs === undefined || wellMs >= beforeMs);
  }

  /**
   * After the last exec: what has not struck by then would strike whoever uses the system next, or start
   * programs of one that is being taken down. Resolves when no fault is on any path.
   */
  async end(): Promise<void> {
    this.#over = true;
    for (const timer of this.#planned) timer.cancel();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
