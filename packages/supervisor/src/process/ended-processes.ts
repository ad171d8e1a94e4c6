// ended-processes.ts: how many processes an exec's end has taken along.
import { stillLives } from "./process-table.ts";
import type { ProcessEntry } from "./process-table.ts";

export class EndedProcesses {
  /** Signalled, and alive when last looked at: start times by pid. The kernel bounds them. */
  readonly #signalled = new Map<number, string>();
  #gone = 0;

  /** Call it right before the signal: who has ended by then was not ended by it. */
  add(entry: ProcessEntry): void {
    if (this.#signalled.get(entry.pid) === entry.startTime || !stillLives(entry)) return;
    if (this.#signalled.has(entry.pid)) this.#gone += 1; // its pid is another's
    this.#signalled.set(entry.pid, entry.startTime);
  }

  /** Those who were signalled and have gone since. */
  count(): number {
    for (const [pid, startTime] of this.#signalled) {
      if (stillLives({ pid, startTime })) continue;
      this.#signalled.delete(pid);
      this.#gone += 1;
    }
    return this.#gone;
  }
}
