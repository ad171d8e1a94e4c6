// programs.ts: the programs of this machine that a test drives; without them it says so, and is skipped.
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe } from "vitest";

/** A suite that needs these programs. With BELAY_REQUIRE_PROGRAMS=1 it fails without them. */
export function describeWith(programs: readonly string[], name: string, suite: () => void): void {
  const absent = programs.filter((program) => !isInstalled(program));
  const required = process.env["BELAY_REQUIRE_PROGRAMS"] === "1";
  if (absent.length > 0) console.warn(`not run: needs ${absent.join(", ")}`);
  describe.skipIf(absent.length > 0 && !required)(`${name}`, () => {
    suite();
  });
}

function isInstalled(program: string): boolean {
  return spawnSync("/bin/sh", ["-c", `command -v ${program}`]).status === 0;
}

export interface RunOptions {
  /** Default: none, an end of input at once. */
  readonly stdin?: string | Buffer | Readable;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A program that runs. Its outputs are whoever reads them first. */
export class RunningProgram {
  readonly child: ChildProcessWithoutNullStreams;
  readonly exitCode: Promise<number | null>;

  constructor(program: string, args: readonly string[], { stdin = "", env = {} }: RunOptions = {}) {
    this.child = spawn(program, args, { env: { ...process.env, ...env } });
    this.child.stdin.on("error", () => {});
    if (typeof stdin === "string" || Buffer.isBuffer(stdin)) this.child.stdin.end(stdin);
    else stdin.pipe(this.child.stdin);
    this.exitCode = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("exit", resolve);
    });
  }

  /** All that it says, and its end. */
  async ended(): Promise<Ran> {
    const { stdout, stderr } = this.child;
    const [code, out, err] = await Promise.all([this.exitCode, buffer(stdout), buffer(stderr)]);
    return { code, stdout: out, stderr: err.toString() };
  }
}

export async function run(
  program: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<Ran> {
  return new RunningProgram(program, args, options).ended();
}
