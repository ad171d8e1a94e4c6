// until.ts: tests wait for a fact, at most for so long.
import { setTimeout as sleep } from "node:timers/promises";

export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 10_000,
): Promise<T> {
  const untilMs = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > untilMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
}
