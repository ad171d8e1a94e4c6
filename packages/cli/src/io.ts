// io.ts: what the program has from its surroundings, so that a test can give its own.
import type { Readable, Writable } from "node:stream";

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The command line that runs this program again. */
  readonly self: readonly string[];
  /** Aborts at the first SIGINT or SIGTERM; its reason is a StopRequested. */
  readonly stop: AbortSignal;
}

/** Whoever read our output does so no more, as in `belay exec … | head`. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** Resolves when the stream has taken it all: a slow reader slows us. @throws OutputClosed. */
export function write(stream: Writable, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (!error) return resolve();
      const { code } = error as NodeJS.ErrnoException;
      const isClosed = code === "EPIPE" || code === "ERR_STREAM_DESTROYED";
      reject(isClosed ? new OutputClosed("output closed", { cause: error }) : error);
    });
  });
}

/** Such a line about what goes on by itself: a stderr that nobody reads any more is no reason to stop. */
export function remark(io: Io, text: string): void {
  note(io, text).catch(() => {});
}

/** A line for people, beside the output. */
export async function note(io: Io, text: string): Promise<void> {
  await write(io.stderr, `belay: ${text}\n`);
}
