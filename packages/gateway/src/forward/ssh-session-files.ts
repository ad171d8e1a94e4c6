// ssh-session-files.ts: SSH sessions on disk, so that a restart keeps them: one small file each, named
// by its token's hash. The token itself is nowhere.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface SshSessionRecord {
  /** SHA-256 of the token, in hex. */
  readonly tokenHash: string;
  readonly sandboxId: string;
  /** Unix time. */
  readonly expiresAtMs: number;
}

const FILE = /^([0-9a-f]{64})\.json$/;

export class SshSessionFiles {
  readonly #dir: string;

  constructor(dataDir: string) {
    this.#dir = join(dataDir, "ssh-sessions");
  }

  /** Files that are none of ours, or spoilt, are passed over: their tokens are unknown. */
  async readAll(): Promise<SshSessionRecord[]> {
    const names = await readdir(this.#dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return [];
    });
    const records: SshSessionRecord[] = [];
    for (const name of names) {
      const tokenHash = FILE.exec(name)?.[1];
      if (tokenHash === undefined) continue;
      const record = parseRecord(tokenHash, await readFile(join(this.#dir, name), "utf8"));
      if (record) records.push(record);
    }
    return records;
  }

  async write({ tokenHash, sandboxId, expiresAtMs }: SshSessionRecord): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    // Written beside, then renamed: a gateway that starts never reads half a record.
    const draft = join(this.#dir, `.${randomBytes(6).toString("hex")}`);
    try {
      await writeFile(draft, JSON.stringify({ sandboxId, expiresAtMs }), {
        mode: 0o600,
        flag: "wx",
      });
      await rename(draft, this.#path(tokenHash));
    } finally {
      await rm(draft, { force: true });
    }
  }

  async remove(tokenHash: string): Promise<void> {
    await rm(this.#path(tokenHash), { force: true });
  }

  #path(tokenHash: string): string {
    return join(this.#dir, `${tokenHash}.json`);
  }
}

function parseRecord(tokenHash: string, text: string): SshSessionRecord | undefined {
  try {
    const { sandboxId, expiresAtMs } = JSON.parse(text) as Partial<SshSessionRecord>;
    if (typeof sandboxId !== "string" || !Number.isSafeInteger(expiresAtMs)) return undefined;
    return { tokenHash, sandboxId, expiresAtMs: expiresAtMs! };
  } catch {
    return undefined;
  }
}
