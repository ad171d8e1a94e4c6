// spawned.ts: a program started directly from Node, as the base that Belay and OpenSSH are compared with.
import { spawn } from "node:child_process";

const shownErrorChars = 500;

/** Resolves with the size of its stdout once it has exited with 0 and its output has ended; rejects otherwise. */
export async function runSpawned([file, ...args]: readonly [string, ...string[]]): Promise<number> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let bytes = 0;
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => (bytes += chunk.length));
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(0, shownErrorChars);
  });
  child.once("error", reject);
  child.once("close", (code, signal) => {
    if (code === 0) resolve(bytes);
    else reject(new Error(`${file} ended with ${signal ?? code}: ${complaint}`));
  });
  return await promise;
}
