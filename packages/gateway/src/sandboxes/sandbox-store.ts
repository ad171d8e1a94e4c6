// sandbox-store.ts: which sandboxes are known. One small file each under the data directory, so that
// `belay-gateway token` can add one while the gateway runs.
import { randomBytes, randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isSandboxId, isSandboxName } from "@belay/protocol";

export interface SandboxRecord {
  readonly id: string;
  readonly name: string;
  readonly createdAtMs: number;
}

const MTIME_STEP_MS = 50;

export class SandboxStore {
  readonly #dir: string;
  readonly #byName = new Map<string, SandboxRecord>();
  readonly #byId = new Map<string, SandboxRecord>();
  #readAtMs = -1;

  constructor(dataDir: string) {
    this.#dir = join(dataDir, "sandboxes");
  }

  async findById(id: string): Promise<SandboxRecord | undefined> {
    if (!this.#byId.has(id)) await this.#refresh();
    return this.#byId.get(id);
  }

  async findByName(name: string): Promise<SandboxRecord | undefined> {
    if (!this.#byName.has(name)) await this.#refresh();
    return this.#byName.get(name);
  }

  /** By name, in order. */
  async list(): Promise<SandboxRecord[]> {
    await this.#refresh();
    return [...this.#byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The sandbox of this name; made known, with a new id unless one is given, if it is not. */
  async ensure(name: string, id: string = randomUUID()): Promise<SandboxRecord> {
    if (!isSandboxName(name) && !isSandboxId(name)) throw new Error(`not a sandbox name: ${name}`);
    const known = await this.findByName(name);
    if (known) return known;
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const record: SandboxRecord = { id, name, createdAtMs: new Date().getTime() };
    // Written beside, then linked: a reader never sees half a record, and of two writers one wins.
    const draft = join(this.#dir, `.${randomBytes(6).toString("hex")}`);
    try {
      await writeFile(draft, JSON.stringify(record), { mode: 0o600, flag: "wx" });
      await link(draft, this.#path(name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
    } finally {
      await rm(draft, { force: true });
    }
    const winner = JSON.parse(await readFile(this.#path(name), "utf8")) as SandboxRecord;
    this.#remember(winner);
    return winner;
  }

  #path(name: string): string {
    return join(this.#dir, `${name}.json`);
  }

  #remember(record: SandboxRecord): void {
    this.#byName.set(record.name, record);
    this.#byId.set(record.id, record);
  }

  /** Reads what was added since the last time; costs one stat when nothing was. */
  async #refresh(): Promise<void> {
    const changedAtMs = await stat(this.#dir).then(
      (found) => found.mtimeMs,
      () => undefined,
    );
    if (changedAtMs === undefined || changedAtMs === this.#readAtMs) return;
    for (const file of await readdir(this.#dir)) {
      const name = file.endsWith(".json") ? file.slice(0, -".json".length) : undefined;
      if (name === undefined || this.#byName.has(name)) continue;
      const record = parseRecord(await readFile(join(this.#dir, file), "utf8"));
      // A file that is none of ours, or spoilt, must not make all other sandboxes unknown.
      if (record?.name === name) this.#remember(record);
    }
    // A directory's mtime moves in steps of some milliseconds: a fresh one may hide a later change.
    if (new Date().getTime() - changedAtMs > MTIME_STEP_MS) this.#readAtMs = changedAtMs;
  }
}

function parseRecord(text: string): SandboxRecord | undefined {
  try {
    const record = JSON.parse(text) as Partial<SandboxRecord> | null;
    const { id, name, createdAtMs } = record ?? {};
    if (typeof id !== "string" || typeof name !== "string") return undefined;
    return Number.isSafeInteger(createdAtMs) ? { id, name, createdAtMs: createdAtMs! } : undefined;
  } catch {
    return undefined;
  }
}
