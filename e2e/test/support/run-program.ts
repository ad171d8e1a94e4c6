// run-program.ts: a program that is not ours, from its start to its end.
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { within } from "../../src/wait.ts";

export interface RunProgramOptions {
  /** Defaults to none: the end of input comes at once. */
  stdin?: string | Buffer | Readable;
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Then it is killed, and the run fails. Defaults to 30_000. */
  limitMs?: number | undefined;
}

export interface Ran {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

export async function runProgram(
  program: string,
  args: readonly string[],
  { stdin = "", env = {}, cwd, limitMs = 30_000 }: RunProgramOptions = {},
): Promise<Ran> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env } });
  const ended = Promise.withResolvers<Pick<Ran, "code" | "signal">>();
  child.once("error", ended.reject);
  child.once("exit", (code, signal) => ended.resolve({ code, signal }));
  // A program that does not read its input to the end is no failure of ours.
  child.stdin.on("error", () => {});
  if (typeof stdin === "string" || Buffer.isBuffer(stdin)) child.stdin.end(stdin);
  else stdin.pipe(child.stdin);
  try {
    const all = Promise.all([ended.promise, buffer(child.stdout), text(child.stderr)]);
    const [end, stdout, stderr] = await within(`the end of ${program}`, limitMs, all);
    return { ...end, stdout, stderr };
  } finally {
    child.kill("SIGKILL");
  }
}
