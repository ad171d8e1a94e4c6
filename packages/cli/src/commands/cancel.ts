// cancel.ts: `belay cancel`: ends an exec, all of it.
import type { ExecExit } from "@belay/client";
import { jsonOption } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { write } from "../io.ts";
import { json } from "../table.ts";

export const cancelCommand: CommandSpec<{ json?: true }> = {
  name: "cancel",
  summary: "Ends an exec with all of its processes, and answers when they are gone.",
  args: [
    { name: "SANDBOX", help: "name or id" },
    { name: "EXEC", help: "its id" },
  ],
  options: [jsonOption()],
  examples: [{ does: "TERM, a grace period, KILL:", line: "belay cancel demo 4f1c…" }],
  async run({ client, io, args, options }) {
    const [sandbox, execId] = args as [string, string];
    const signal = io.stop;
    const sandboxId = await client.sandboxId(sandbox, { signal });
    const exit = await client.attach(sandboxId, execId).cancel({ signal });
    const answer = { sandboxId, execId, ...(exit && { exit }) };
    await write(io.stdout, options.json ? json(answer) : `${describe(exit)}\n`);
    return 0;
  },
};

function describe(exit: ExecExit | undefined): string {
  if (!exit) return "not known here; it can no longer start";
  if (exit.reason !== "canceled") return `had ended already: ${exit.reason}, ${exit.exitCode}`;
  return `canceled; processes ended: ${exit.processesEnded}`;
}
