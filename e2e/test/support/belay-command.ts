// belay-command.ts: the built `belay` as a process of its own, as somebody's shell would run it.
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { poll, within } from "../../src/wait.ts";
import { builtCli } from "./built-cli.ts";

export interface BelayCommandEnd {
  /** Its exit code, or the signal that ended it. */
  code: number | string;
  stdout: string;
  stderr: string;
}

/** Killed, when disposed, if it still runs. */
export class BelayCommand implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  readonly #closed = Promise.withResolvers<number | string>();

  /** @param input All of its input. */
  constructor(gatewayUrl: string, argv: readonly string[], input: string | Buffer = "") {
    this.#child = spawn(process.execPath, [builtCli, ...argv], {
      env: { ...process.env, BELAY_GATEWAY: gatewayUrl },
    });
    for (const name of ["stdout", "stderr"] as const)
      this.#child[name].on("data", (bytes: Buffer) => this.#output[name].push(bytes));
    this.#child.on("close", (code, signal) => this.#closed.resolve(code ?? String(signal)));
    this.#child.stdin.on("error", () => {}); // it may end before it has read all
    this.#child.stdin.end(input);
  }

  get stdout(): string {
    return Buffer.concat(this.#output.stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#output.stderr).toString();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves once the text stands in its stdout. */
  async printed(text: string): Promise<void> {
    await poll(`${text} from belay`, () => this.stdout.includes(text), {
      limitMs: 15_000,
      detail: () => `${this.stdout.slice(-500)}\n${this.stderr}`,
    });
  }

  async ended(limitMs = 25_000): Promise<BelayCommandEnd> {
    const detail = () => `${this.stdout.slice(-500)}\n${this.stderr}`;
    const code = await within("the end of belay", limitMs, this.#closed.promise, detail);
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed.promise;
  }
}
