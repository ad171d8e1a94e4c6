// signal.ts: `belay signal`: sends a signal to an exec's process group.
import type { CommandSpec } from "../command.ts";

export const signalCommand: CommandSpec<object> = {
  name: "signal",
  summary: "Sends a signal to an exec's process group.",
  args: [
    { name: "SANDBOX", help: "name or id" },
    { name: "EXEC", help: "its id" },
    { name: "SIGNAL", help: "with or without SIG" },
  ],
  examples: [
    { does: "Make it read its configuration again:", line: "belay signal demo 4f1c… HUP" },
  ],
  async run({ client, io, args }) {
    const [sandbox, execId, name] = args as [string, string, string];
    const signal = io.stop;
    await client
      .attach(await client.sandboxId(sandbox, { signal }), execId)
      .signal(name, { signal });
    return 0;
  },
};
