// ssh-client.ts: OpenSSH on this machine, told by `belay ssh-config` how to reach a sandbox.
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import type { Deployment } from "../../../src/deployment.ts";
import { within } from "../../../src/wait.ts";
import { builtCli } from "../../support/built-cli.ts";
import { runProgram } from "../../support/run-program.ts";
import type { Ran, RunProgramOptions } from "../../support/run-program.ts";

/** The host's name, which is the sandbox's. */
export const box = "sandbox-1";

export interface SshClientOptions {
  /** Where its `belay ssh-proxy` calls. Default: the deployment's client path. */
  readonly gatewayUrl?: string;
  readonly sandbox?: string;
}

export class SshClient implements AsyncDisposable {
  /** For the files of a test. */
  readonly folder: string;
  readonly #started: StartedProgram[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async of(deployment: Deployment, options: SshClientOptions = {}): Promise<SshClient> {
    const { gatewayUrl = deployment.clientUrl, sandbox = box } = options;
    const client = new SshClient(await mkdtemp(join(tmpdir(), "belay-openssh-")));
    const flags = ["--host-prefix", "", "--gateway", gatewayUrl];
    const printed = await runProgram(process.execPath, [builtCli, "ssh-config", ...flags, sandbox]);
    if (printed.code !== 0) throw new Error(`belay ssh-config: ${printed.stderr}`);
    await writeFile(client.config, printed.stdout);
    return client;
  }

  get config(): string {
    return this.path("ssh_config");
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** `ssh …` to its end. */
  ssh(args: readonly string[], options?: RunProgramOptions): Promise<Ran> {
    return this.run("ssh", args, options);
  }

  /** One of OpenSSH's programs that take `-F`, to its end. */
  run(program: string, args: readonly string[], options?: RunProgramOptions): Promise<Ran> {
    return runProgram(program, ["-F", this.config, ...args], options);
  }

  /** `ssh …`, running. It ends with this client at the latest. */
  start(args: readonly string[]): StartedProgram {
    const program = new StartedProgram("ssh", ["-F", this.config, ...args]);
    this.#started.push(program);
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#started) child.kill("SIGKILL");
    await Promise.all(this.#started.map(({ exited }) => exited));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Its outputs are whoever reads them first; its input stays open. */
export class StartedProgram {
  readonly child: ChildProcessWithoutNullStreams;
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, args);
    this.child.stdin.on("error", () => {}); // it may end without having read it
    this.exited = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("exit", (code, signal) => resolve(code ?? signal!));
    });
  }

  /** All that it says, and its end. */
  async ended(limitMs = 30_000) {
    const { stdout, stderr } = this.child;
    const all = Promise.all([this.exited, buffer(stdout), text(stderr)]);
    const [code, out, err] = await within("the end of ssh", limitMs, all);
    return { code, stdout: out, stderr: err };
  }
}
