// random.ts: seeded choices. Each thing that is chosen has a generator of its own, named by what it is
// for: a new choice in one place must not change all that comes after it.
import { seededRandom } from "@belay/e2e";

export class Random {
  readonly #next: () => number;

  constructor(seed: number, ...names: (string | number)[]) {
    this.#next = seededRandom(hash(`${seed}/${names.join("/")}`));
  }

  /** In [0, 1). */
  unit(): number {
    return this.#next();
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** A whole number, both ends included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.#next() * (max - min + 1));
  }

  /** As many small ones as large ones, by order of magnitude. */
  logInt(min: number, max: number): number {
    return Math.round(min * (max / min) ** this.#next());
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.int(0, items.length - 1)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** A key of `weights`, as often as its weight says. */
  weighted<K extends string>(weights: Partial<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let rest = this.#next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      rest -= weight;
      if (rest < 0) return key;
    }
    return entries.at(-1)![0];
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}
