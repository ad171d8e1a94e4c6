// slow-reader.ts: reads a stream to its end, late and with pauses, so that every window on the way fills.
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

export interface Pace {
  readonly startAfterMs: number;
  readonly pauseEveryBytes: number;
  readonly pauseMs: number;
}

export async function slowReader(
  source: Readable,
  { startAfterMs, pauseEveryBytes, pauseMs }: Pace,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let untilPause = pauseEveryBytes;
  await sleep(startAfterMs);
  for await (const chunk of source.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    untilPause -= (chunk as Buffer).length;
    if (untilPause > 0) continue;
    untilPause = pauseEveryBytes;
    await sleep(pauseMs);
  }
  return Buffer.concat(chunks);
}
