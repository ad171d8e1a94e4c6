// child.ts: `belay` as a process of its own, for real pipes, signals and exit codes.
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export class BelayChild implements AsyncDisposable {
  readonly process: ChildProcessWithoutNullStreams;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #closed: Promise<unknown[]>;

  constructor(argv: readonly string[], { url, read = true }: { url: string; read?: boolean }) {
    this.process = spawn(process.execPath, [main, ...argv], {
      env: { ...process.env, BELAY_GATEWAY: url },
    });
    if (read) this.process.stdout.on("data", (data: Buffer) => this.#stdout.push(data));
    this.process.stderr.on("data", (data: Buffer) => this.#stderr.push(data));
    this.process.stdin.on("error", () => {}); // it may end without having read it
    this.#closed = once(this.process, "close");
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout);
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Its exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const [code, signal] = (await this.#closed) as [number | null, string];
    return code ?? signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.#closed;
  }
}
