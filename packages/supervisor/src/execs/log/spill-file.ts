// spill-file.ts: the file of an output log: a ring of blocks, which has no name and leaves nothing behind.
import { randomUUID } from "node:crypto";
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { LogBlock } from "./log-block.ts";
import type { LogShare } from "./log-budget.ts";
import type { FiledBlock } from "./log-index.ts";

/** Where logs make their files. */
export interface SpillDirectory {
  open(): Promise<SpillHandle>;
}

/** What a log needs of a `FileHandle`. */
export interface SpillHandle {
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  close(): Promise<void>;
}

/** Files in this directory: for us alone, and unlinked at once, so that a crash leaves none. */
export function spillDirectory(path: string): SpillDirectory {
  return {
    async open() {
      const name = join(path, `belay-log-${randomUUID()}`);
      const handle = await open(name, "wx+", 0o600);
      try {
        await unlink(name);
        return handle;
      } catch (error) {
        await handle.close();
        throw error;
      }
    },
  };
}

/** Bytes of the file. */
export interface FilePlace {
  readonly position: number;
  readonly bytes: number;
}

const RUN_BYTES = 4;

/** One write at a time; reads at any time. Blocks are dropped in the order in which they came. */
export class SpillFile implements Disposable {
  readonly #directory: SpillDirectory;
  readonly #maxBytes: number;
  readonly #share: LogShare;
  #handle: Promise<SpillHandle> | undefined;
  /** How long the file may be by now. */
  #grantedBytes = 0;
  /** Where the newest block ends. */
  #newestEnd = 0;
  #scratch = Buffer.alloc(0);
  #closed = false;

  /** The file is made with the first write. */
  constructor(
    directory: SpillDirectory,
    { maxBytes, share }: { maxBytes: number; share: LogShare },
  ) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    this.#share = share;
  }

  /** Where the blocks go as one. Undefined when there is no room.
   * @param oldest where the oldest block that must stay begins, if there is any. */
  place(blocks: readonly LogBlock[], oldest: number | undefined): FilePlace | undefined {
    const bytes = blocks.reduce(
      (sum, { runs, body }) => sum + runs.length * RUN_BYTES + body.length,
      0,
    );
    const position = this.#position(bytes, oldest);
    return position === undefined ? undefined : { position, bytes };
  }

  #position(bytes: number, oldest: number | undefined): number | undefined {
    if (oldest === undefined) return this.#mayReach(bytes) ? 0 : undefined;
    // The newest never ends where the oldest begins: that is what an empty ring looks like.
    if (this.#newestEnd < oldest) {
      return this.#newestEnd + bytes < oldest ? this.#newestEnd : undefined;
    }
    if (this.#mayReach(this.#newestEnd + bytes)) return this.#newestEnd;
    return bytes < oldest ? 0 : undefined;
  }

  #mayReach(end: number): boolean {
    if (end <= this.#grantedBytes) return true;
    if (end > this.#maxBytes || !this.#share.growFile(end - this.#grantedBytes)) return false;
    this.#grantedBytes = end;
    return true;
  }

  /** @throws the error of the file system. */
  async write(blocks: readonly LogBlock[], { position, bytes }: FilePlace): Promise<void> {
    if (this.#scratch.length < bytes) this.#scratch = Buffer.allocUnsafeSlow(bytes);
    encode(blocks, this.#scratch);
    const handle = await (this.#handle ??= this.#directory.open());
    for (let done = 0; done < bytes;) {
      const left = bytes - done;
      const { bytesWritten } = await handle.write(this.#scratch, done, left, position + done);
      if (bytesWritten === 0) throw new Error("the log's file takes no more bytes");
      done += bytesWritten;
    }
    this.#newestEnd = position + bytes;
  }

  /**
   * What is at the place of the block: something else, if it was dropped meanwhile.
   * @throws the error of the file system.
   */
  async read({ start, position, bytes, runs }: FiledBlock): Promise<LogBlock> {
    const handle = await this.#handle!;
    const buffer = Buffer.allocUnsafeSlow(bytes);
    for (let done = 0; done < bytes;) {
      const { bytesRead } = await handle.read(buffer, done, bytes - done, position + done);
      if (bytesRead === 0) throw new Error("the log's file is shorter than what was written to it");
      done += bytesRead;
    }
    const bodyFrom = runs * RUN_BYTES;
    return LogBlock.of(start, decodeRuns(buffer.subarray(0, bodyFrom)), buffer.subarray(bodyFrom));
  }

  /** Frees the disk as soon as the reads and the write that are under way have ended. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#share.releaseFile();
    // Nothing depends on what a file says at its end that nobody reads any more.
    void this.#handle?.then((handle) => handle.close()).catch(() => undefined);
  }
}

/** The runs of all blocks, then the bodies. */
function encode(blocks: readonly LogBlock[], into: Buffer): void {
  let at = 0;
  for (const { runs } of blocks) for (const run of runs) at = into.writeUInt32LE(run, at);
  for (const { body } of blocks) at += body.copy(into, at);
}

function* decodeRuns(bytes: Buffer): Generator<number, void, void> {
  for (let at = 0; at < bytes.length; at += RUN_BYTES) yield bytes.readUInt32LE(at);
}
