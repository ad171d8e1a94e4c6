// in-process.ts: one command line, run here, with streams that remember.
import { PassThrough, Writable } from "node:stream";
import { runCli } from "../../src/cli.ts";

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function belay(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const stdout = new Memory();
  const stderr = new Memory();
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stop = new AbortController().signal;
  const exitCode = await runCli(argv, { stdin, stdout, stderr, env, self: belayItself, stop });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

/** Where these tests say that the program is. */
export const belayItself = ["/opt/node 24/bin/node", "/opt/belay.mjs"] as const;

class Memory extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
