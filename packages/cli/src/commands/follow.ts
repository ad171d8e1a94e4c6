// follow.ts: `belay follow`: shows an exec that runs, or has run, and exits as it did.
import { Option } from "commander";
import type { CommandSpec } from "../command.ts";
import { note } from "../io.ts";
import { showExec } from "../show-exec.ts";

export const followCommand: CommandSpec<{
  fromStart?: true;
  fromEnd?: true;
  wait: boolean;
}> = {
  name: "follow",
  summary: "Shows the output of an exec until its end, and exits with its code.",
  args: [
    { name: "SANDBOX", help: "name or id" },
    { name: "EXEC", help: "its id" },
  ],
  options: [
    new Option("--from-start", "all of its output that is kept (default)").conflicts("fromEnd"),
    new Option("--from-end", "only what comes from now on"),
    new Option("--no-wait", "end after what there is now"),
  ],
  examples: [
    {
      does: "From its start to its end, however often the connection breaks:",
      line: "belay follow demo 4f1c…",
    },
    { does: "What it has printed so far:", line: "belay follow --no-wait demo 4f1c…" },
  ],
  async run({ client, io, args, options }) {
    const [sandbox, execId] = args as [string, string];
    const signal = io.stop;
    const exec = client.attach(await client.sandboxId(sandbox, { signal }), execId);
    const from = options.fromEnd ? await exec.get({ signal }) : undefined;
    try {
      const events = exec.follow({
        stdoutOffset: from?.stdout.endOffset ?? 0,
        stderrOffset: from?.stderr.endOffset ?? 0,
        noWait: !options.wait,
        signal,
      });
      return await showExec(events, io);
    } catch (error) {
      if (signal.aborted) await note(io, "no longer followed; the exec goes on");
      throw error;
    }
  },
};
