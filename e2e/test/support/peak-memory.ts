// peak-memory.ts: the most memory that a program of ours had while a test ran.
import type { BelayProcess } from "../../src/belay-process.ts";
import { sleepMs } from "../../src/wait.ts";

const lookEveryMs = 50;

/** Calls `during`; gives its result, and by how many bytes each program grew at most over what it had before. */
export async function growthWhile<T>(
  programs: readonly BelayProcess[],
  during: () => Promise<T>,
): Promise<{ result: T; growthBytes: number[] }> {
  const before = await Promise.all(programs.map((one) => one.rssBytes()));
  const peaks = [...before];
  let over = false;
  const watching = (async () => {
    while (!over) {
      for (const [at, one] of programs.entries())
        peaks[at] = Math.max(peaks[at]!, await one.rssBytes());
      await sleepMs(lookEveryMs);
    }
  })();
  try {
    const result = await during();
    return { result, growthBytes: peaks.map((peak, at) => peak - before[at]!) };
  } finally {
    over = true;
    await watching;
  }
}
