// settled-memory.ts: resident memory of one of our programs, after it has collected its garbage.
import { fileURLToPath } from "node:url";
import type { BelayProcess } from "../src/belay-process.ts";
import { sleepMs } from "../src/wait.ts";

const settleModule = fileURLToPath(new URL("settle-on-signal.ts", import.meta.url));

/** For the environment of a program whose memory is to be settled. */
export const settleEnv = {
  NODE_OPTIONS: `--expose-gc --import="${settleModule}"`,
};

const settleLimitMs = 10_000;
const maxReadings = 8;
const readingEveryMs = 250;
/** Two readings that differ by less mean that it has settled. */
const steadyBytes = 128 * 1024;

/** Collects and reads until two readings agree, and returns the smallest. */
export async function settledRssBytes(program: BelayProcess): Promise<number> {
  let smallest = Infinity;
  let last = Infinity;
  for (let reading = 0; reading < maxReadings; reading++) {
    const before = program.mark();
    program.kill("SIGUSR2");
    await program.waitForEvent("bench.settled", { after: before, limitMs: settleLimitMs });
    await sleepMs(readingEveryMs);
    const bytes = await program.rssBytes();
    smallest = Math.min(smallest, bytes);
    if (Math.abs(bytes - last) < steadyBytes) break;
    last = bytes;
  }
  return smallest;
}
