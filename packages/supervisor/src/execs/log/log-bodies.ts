// log-bodies.ts: the memory of log blocks, used again and again.

/** What a body holds. One read of a pipe gives as much. */
export const BODY_BYTES = 64 * 1024;

/** Free bodies that are kept: those of one log that is followed at full speed. */
const MAX_FREE = 128;

/**
 * What one block lets go of, the next one takes. Kept as they came, the chunks of a fast output live just
 * long enough to be expensive: a fifth of the supervisor's CPU time per GB went into collecting them.
 */
export class LogBodies {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BODY_BYTES);
  }

  give(body: Buffer): void {
    if (body.length === BODY_BYTES && this.#free.length < MAX_FREE) this.#free.push(body);
  }
}
