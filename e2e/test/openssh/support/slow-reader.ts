// slow-reader.ts: reads a stream in pieces with a pause after each, so that every window on the way fills.
import type { Readable } from "node:stream";
import { sleepMs } from "../../../src/wait.ts";

export interface Pace {
  readonly startAfterMs: number;
  readonly pauseEveryBytes: number;
  readonly pauseMs: number;
}

export async function readSlowly(source: Readable, pace: Pace): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let untilPause = pace.pauseEveryBytes;
  await sleepMs(pace.startAfterMs);
  for await (const chunk of source) {
    chunks.push(chunk as Buffer);
    untilPause -= (chunk as Buffer).length;
    if (untilPause > 0) continue;
    untilPause = pace.pauseEveryBytes;
    await sleepMs(pace.pauseMs);
  }
  return Buffer.concat(chunks);
}
