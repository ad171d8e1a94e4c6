// streaming-exec.ts: a command that writes so much that it must wait for its reader.
import { createHash } from "node:crypto";
import type { ExecScript } from "../../src/puppet-ssh.ts";

const chunkBytes = 64 * 1024;

export class StreamingExec {
  /** Bytes that the SSH channel has taken so far. */
  sentBytes = 0;
  readonly #hash = createHash("sha256");
  readonly #totalBytes: number;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** Of all that was sent; once, at the end. */
  sha256(): string {
    return this.#hash.digest("hex");
  }

  /** One chunk at a time, and the exit only after the last one was taken: ssh2 keeps that order. */
  readonly script: ExecScript = ({ channel }) => {
    const send = (): void => {
      const bytes = Math.min(chunkBytes, this.#totalBytes - this.sentBytes);
      if (bytes === 0) {
        channel.exit(0);
        channel.end();
        return;
      }
      const chunk = Buffer.alloc(bytes, `${this.sentBytes} `);
      channel.write(chunk, () => {
        this.#hash.update(chunk);
        this.sentBytes += bytes;
        setImmediate(send);
      });
    };
    send();
  };
}
