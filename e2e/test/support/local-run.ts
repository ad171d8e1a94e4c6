// local-run.ts: what a script says when nothing stands between it and us: the truth to compare an exec's output with.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type { StdStream, StreamTotals } from "../../src/collect-exec.ts";

export async function localTotals(script: string): Promise<Record<StdStream, StreamTotals>> {
  const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([totalsOf(child.stdout), totalsOf(child.stderr)]);
  return { stdout, stderr };
}

async function totalsOf(stream: Readable): Promise<StreamTotals> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}
