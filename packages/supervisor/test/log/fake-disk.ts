// fake-disk.ts: a disk in memory for the files of logs, which can be slow, full, broken, and read and
// write only a part of what it is asked to.
import type { SpillDirectory, SpillHandle } from "../../src/execs/log/spill-file.ts";

export class FakeDisk implements SpillDirectory {
  openFiles = 0;
  opens = 0;
  /** Bytes that the longest of its files had. */
  longest = 0;
  freeBytes = Infinity;
  readsFail = false;
  /** Each write, or read, waits for this before it happens. */
  beforeWrite = (): Promise<void> => Promise.resolve();
  beforeRead = (): Promise<void> => Promise.resolve();
  /** How many of that many bytes it takes, or gives, at once. */
  part = (bytes: number): number => bytes;

  async open(): Promise<SpillHandle> {
    await Promise.resolve();
    this.openFiles++;
    this.opens++;
    let bytes = Buffer.alloc(0);
    return {
      write: async (buffer, offset, length, position) => {
        await this.beforeWrite();
        const to = position + this.part(length);
        if (to > this.freeBytes) {
          throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
        }
        if (to > bytes.length) bytes = Buffer.concat([bytes], Math.max(to, bytes.length * 2));
        buffer.copy(bytes, position, offset, offset + (to - position));
        this.longest = Math.max(this.longest, to);
        return { bytesWritten: to - position };
      },
      read: async (buffer, offset, length, position) => {
        await this.beforeRead();
        if (this.readsFail) throw Object.assign(new Error("i/o error"), { code: "EIO" });
        const to = position + this.part(length);
        return { bytesRead: bytes.copy(buffer, offset, position, to) };
      },
      close: async () => {
        await Promise.resolve();
        this.openFiles--;
      },
    };
  }
}

/** A wait that the test ends. */
export function gate() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}
