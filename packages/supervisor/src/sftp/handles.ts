// handles.ts: the files and directories that one SFTP session has open.
import type { Dir } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { uint32 } from "./packets.ts";

export type OpenHandle =
  | { readonly is: "file"; readonly file: FileHandle }
  | {
      readonly is: "directory";
      readonly dir: Dir;
      readonly path: Buffer;
      /** What the first READDIR begins with. */
      readonly first: string[];
    };

export class Handles {
  readonly #limit: number;
  readonly #open = new Map<number, OpenHandle>();
  #next = 0;
  #reserved = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Opens one more, or gives `undefined` when there are too many. @throws what `open` throws. */
  async add(open: () => Promise<OpenHandle>): Promise<Buffer | undefined> {
    if (this.#open.size + this.#reserved >= this.#limit) return undefined;
    this.#reserved += 1;
    try {
      const opened = await open();
      const id = this.#freeId();
      this.#open.set(id, opened);
      return uint32(id);
    } finally {
      this.#reserved -= 1;
    }
  }

  get(handle: Buffer): OpenHandle | undefined {
    return handle.length === 4 ? this.#open.get(handle.readUInt32BE()) : undefined;
  }

  /** False when there is none. @throws what the file system says of data that it could not keep. */
  async close(handle: Buffer): Promise<boolean> {
    const opened = this.get(handle);
    if (!opened) return false;
    this.#open.delete(handle.readUInt32BE());
    await closeHandle(opened);
    return true;
  }

  async closeAll(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(all.map(closeHandle));
  }

  #freeId(): number {
    while (this.#open.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const id = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    return id;
  }
}

async function closeHandle(opened: OpenHandle): Promise<void> {
  await (opened.is === "file" ? opened.file.close() : opened.dir.close());
}
