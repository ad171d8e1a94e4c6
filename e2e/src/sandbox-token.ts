// sandbox-token.ts: gets a sandbox token as an operator does: `belay-gateway token`, and the answer into a file that only we may read.
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeJwt } from "jose";
import { runToEnd } from "./belay-process.ts";

export interface SandboxToken {
  /** The sandbox's name. */
  name: string;
  sandboxId: string;
  token: string;
  /** Holds the token, mode 0600. */
  file: string;
}

export interface MintOptions {
  gatewayScript: string;
  dataDir: string;
  name: string;
  /** Where the token file goes. */
  folder: string;
}

export async function mintToken({
  gatewayScript,
  dataDir,
  name,
  folder,
}: MintOptions): Promise<SandboxToken> {
  const result = await runToEnd({
    name: `token for ${name}`,
    script: gatewayScript,
    args: ["token", "--sandbox", name, "--data-dir", dataDir],
  });
  const token = result.stdout.trim();
  if (result.code !== 0 || token === "")
    throw new Error(`no token for ${name}: ${result.code}\n${result.stderr}`);
  const sandboxId = String(decodeJwt(token)["sandbox_id"]);
  const file = join(folder, `${name}-${randomUUID()}.token`);
  await writeFile(file, token, { mode: 0o600 });
  return { name, sandboxId, token, file };
}
