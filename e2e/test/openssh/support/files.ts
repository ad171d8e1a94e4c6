// files.ts: random files, and what their bytes hash to.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";

export const MB = 1_000_000;

/** Gives the path. */
export async function randomFile(path: string, bytes: number): Promise<string> {
  await writeFile(path, randomBytes(bytes));
  return path;
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

export function sha256(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}
