// deque.ts: a queue that is searched: O(1) amortised at both ends, where Array.shift is O(n).

/** How many emptied places stay before the array is cut. */
const SLACK = 64;

export class Deque<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined; // what it holds is free now, not at the next cut
    if (this.#head >= SLACK && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }

  /** The first that fits, where all that follow one that fits do so too: a binary search. */
  find(fits: (item: T) => boolean): T | undefined {
    let from = this.#head;
    let to = this.#items.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (fits(this.#items[middle]!)) to = middle;
      else from = middle + 1;
    }
    return this.#items[from];
  }

  *[Symbol.iterator](): Generator<T, void, void> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i]!;
  }
}
