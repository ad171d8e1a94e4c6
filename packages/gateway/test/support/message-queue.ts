// message-queue.ts: the request messages of a bidirectional RPC, sent when the test says so.

export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #messages: T[] = [];
  #end: { error?: unknown } | undefined;
  #changed: (() => void) | undefined;

  /** Messages that were sent and not read yet. */
  get waiting(): number {
    return this.#messages.length;
  }

  send(message: T): void {
    this.#messages.push(message);
    this.#changed?.();
  }

  /** Half-close. */
  end(): void {
    this.#end ??= {};
    this.#changed?.();
  }

  /** What reading gives when the stream is lost. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#changed?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.#messages.length > 0) yield this.#messages.shift()!;
      else if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }
}
