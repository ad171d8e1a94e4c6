// held-execs.ts: commands that run, silently, until the test ends them.
import type { ExecScript, PuppetExec } from "../../src/puppet-ssh.ts";
import { poll } from "../../src/wait.ts";

export class HeldExecs {
  readonly all: PuppetExec[] = [];

  /** What a puppet is given to serve. */
  readonly script: ExecScript = (exec) => void this.all.push(exec);

  /** Resolves with the n-th, counted from 1, once it runs. */
  async started(n = 1): Promise<PuppetExec> {
    return (await this.startedAll(n))[n - 1]!;
  }

  /** Resolves with the first so many, once they all run. */
  async startedAll(count: number, limitMs = 20_000): Promise<PuppetExec[]> {
    await poll(`${count} held execs`, () => this.all.length >= count, { limitMs, everyMs: 5 });
    return this.all.slice(0, count);
  }

  /** Resolves once the n-th was sent the signal. */
  async signaled(name: string, { n = 1, limitMs = 10_000 } = {}): Promise<void> {
    const exec = await this.started(n);
    await poll(`${name} at held exec ${n}`, () => exec.signals.includes(name), {
      limitMs,
      everyMs: 5,
    });
  }
}

/** The command ends by itself, in order. */
export function finish({ channel }: PuppetExec, code: number, stdout = ""): void {
  const end = (): void => {
    channel.exit(code);
    channel.end();
  };
  if (stdout === "") end();
  else channel.write(stdout, end);
}

/** The command was ended by a signal. @param name Without SIG. */
export function finishBySignal({ channel }: PuppetExec, name: string): void {
  channel.exit(name, false, "");
  channel.end();
}
