// exec.ts: `belay exec`: runs a command as if it ran here.
import { Option } from "commander";
import { StopRequested } from "@belay/program";
import type { CommandSpec } from "../command.ts";
import { remark } from "../io.ts";
import { showExec } from "../show-exec.ts";
import { specOptions, startOptions } from "../spec-options.ts";
import type { SpecOptions } from "../spec-options.ts";
import { startDetached } from "./start.ts";

type ExecCommandOptions = SpecOptions & { detach?: true; stdin: boolean; json?: true };

export const execCommand: CommandSpec<ExecCommandOptions> = {
  name: "exec",
  summary: "Runs a command: its output is ours, its exit code too.",
  args: [{ name: "SANDBOX", help: "name or id" }],
  takesCommand: true,
  options: [
    ...specOptions(),
    new Option("-d, --detach", "print its id and leave it running, as `belay start`"),
    new Option("-n, --no-stdin", "give it no input, even when ours is no terminal"),
    new Option("--json", "print the id of -d, and failures, as JSON"),
  ],
  examples: [
    { does: "Run it, see its output, exit with its code:", line: "belay exec demo -- uname -a" },
    { does: "A shell's line:", line: "belay exec demo -- sh -c 'cd src && make 2>&1 | tail'" },
    {
      does: "Input is passed on when it is no terminal:",
      line: "belay exec demo -- tar x < src.tar",
    },
    {
      does: "With a limit and variables:",
      line: "belay exec --timeout 5m -e CI=1 demo -- npm test",
    },
  ],
  async run({ client, io, args, command, options }) {
    const [sandbox] = args as [string];
    if (options.detach) {
      return startDetached({ client, io, sandbox, command, options, json: options.json === true });
    }
    const onStop = () => {
      const { signal } = io.stop.reason as StopRequested;
      remark(io, `${signal}: ending the command; once more leaves at once`);
    };
    io.stop.addEventListener("abort", onStop, { once: true });
    try {
      // A terminal is somebody who types to the shell that we run in.
      const hasInput = options.stdin && !io.stdin.isTTY;
      const events = client.stream(sandbox, command, {
        ...(await startOptions(options, io)),
        ...(hasInput && { stdin: io.stdin as AsyncIterable<Uint8Array> }),
        signal: io.stop,
      });
      return await showExec(events, io);
    } finally {
      io.stop.removeEventListener("abort", onStop);
    }
  },
};
