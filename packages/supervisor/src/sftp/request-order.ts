// request-order.ts: which requests may overtake which.

/**
 * Requests of one handle run one after the other, those of different handles beside each other. A
 * request that names a path runs alone: it may be about any file.
 */
export class RequestOrder {
  readonly #lanes = new Map<string, Promise<void>>();
  #lastAlone: Promise<void> = Promise.resolve();

  /** @param work never rejects. */
  async inLane(handle: string, work: () => Promise<void>): Promise<void> {
    const before = Promise.all([this.#lastAlone, this.#lanes.get(handle)]);
    const end = before.then(work);
    this.#lanes.set(handle, end);
    await end;
    if (this.#lanes.get(handle) === end) this.#lanes.delete(handle);
  }

  /** @param work never rejects. */
  async alone(work: () => Promise<void>): Promise<void> {
    const before = Promise.all([this.#lastAlone, ...this.#lanes.values()]);
    this.#lastAlone = before.then(work);
    await this.#lastAlone;
  }
}
