// interactive-shell.ts: a shell script that a test types to, with its processes as those of a ShellExec.
import type { OpenShellClient } from "../../src/client.ts";
import { startInteractive } from "../../src/collect-exec.ts";
import type { InputQueue } from "../../src/input-queue.ts";
import { ShellExec } from "./shell-exec.ts";
import type { ShellExecOptions } from "./shell-exec.ts";

export class InteractiveShell extends ShellExec {
  /** What the client sends after the start; `end()` is the half-close. */
  readonly input: InputQueue;

  constructor(
    client: OpenShellClient,
    sandbox: { readonly sandboxId: string },
    script: string,
    options: ShellExecOptions = {},
  ) {
    let queue: InputQueue | undefined;
    super(client, sandbox, script, options, (...call) => {
      const { run, input } = startInteractive(...call);
      queue = input;
      return run;
    });
    this.input = queue!;
  }
}
