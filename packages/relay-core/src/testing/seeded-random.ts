// seeded-random.ts: the same "random" numbers in each run, so that a sweep that fails fails again.

/** A generator of numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from `least` to `most`, both included. */
export function integerBetween(least: number, most: number, random: () => number): number {
  return least + Math.floor(random() * (most - least + 1));
}

export function randomBytes(count: number, random: () => number): Buffer {
  return Buffer.from(Uint8Array.from({ length: count }, () => Math.floor(random() * 256)));
}

/** Seeds 1 to `count`, for `it.each`. */
export function seeds(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
