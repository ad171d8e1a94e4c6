// shell-exec.ts: an exec of a shell script, whose processes can be found in /proc, whatever became of their exec.
import { randomUUID } from "node:crypto";
import type { OpenShellClient } from "../../src/client.ts";
import { startExec } from "../../src/collect-exec.ts";
import type {
  CollectOptions,
  ExecRequestInit,
  ExecResult,
  RunningExec,
} from "../../src/collect-exec.ts";
import {
  findProcesses,
  killMarked,
  waitForProcesses,
  waitUntilNoneLeft,
} from "../../src/processes.ts";
import type { LiveProcess } from "../../src/processes.ts";

export type RequestExtras = Partial<
  Omit<ExecRequestInit, "$typeName" | "$unknown" | "sandboxId" | "command">
>;

export interface ShellExecOptions extends CollectOptions {
  request?: RequestExtras;
}

/** Ends, when disposed, with every process that it may have left. */
export class ShellExec implements AsyncDisposable {
  readonly run: RunningExec;
  /** `NAME=value` in the environment of each of its processes. */
  readonly marker: string;

  constructor(
    client: OpenShellClient,
    sandbox: { readonly sandboxId: string },
    script: string,
    { request = {}, ...options }: ShellExecOptions = {},
    start: typeof startExec = startExec,
  ) {
    const mark = randomUUID();
    this.marker = `E2E_MARK=${mark}`;
    this.run = start(
      client,
      {
        sandboxId: sandbox.sandboxId,
        command: ["sh", "-c", script],
        ...request,
        environment: { ...request.environment, E2E_MARK: mark },
      },
      { limitMs: 25_000, ...options },
    );
  }

  get result(): Promise<ExecResult> {
    return this.run.result;
  }

  /** Resolves once the script has said `ready`. */
  async ready(): Promise<void> {
    await this.run.received("ready\n");
  }

  processes(): Promise<LiveProcess[]> {
    return findProcesses({ env: this.marker });
  }

  /** Resolves once so many of its processes live. */
  async hasProcesses(count: number): Promise<LiveProcess[]> {
    return await waitForProcesses({ env: this.marker }, count);
  }

  /** Resolves once none of its processes lives. */
  async noneLeft(limitMs?: number): Promise<void> {
    await waitUntilNoneLeft({ env: this.marker }, limitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.run.cancel();
    await this.run.result;
    await killMarked({ env: this.marker });
  }
}

/** For an exec of which only the result is of interest. */
export async function shell(
  client: OpenShellClient,
  sandbox: { readonly sandboxId: string },
  script: string,
  options: ShellExecOptions = {},
): Promise<ExecResult> {
  await using exec = new ShellExec(client, sandbox, script, options);
  return await exec.result;
}
