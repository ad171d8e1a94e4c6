// ps.ts: `belay ps`: the execs of a sandbox.
import type { ExecInfo } from "@belay/client";
import { jsonOption } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { write } from "../io.ts";
import { json, table } from "../table.ts";

export const psCommand: CommandSpec<{ json?: true }> = {
  name: "ps",
  summary: "Lists the execs of a sandbox, those that ended not long ago included.",
  args: [{ name: "SANDBOX", help: "name or id" }],
  options: [jsonOption()],
  examples: [
    { does: "The newest first:", line: "belay ps demo" },
    {
      does: "Ids of those that run:",
      line: `belay ps demo --json | jq -r '.[] | select(.state == "running").execId'`,
    },
  ],
  async run({ client, io, args, options }) {
    const [sandbox] = args as [string];
    const execs = await client.list(sandbox, { signal: io.stop });
    const header = ["EXEC", "STATE", "EXIT", "STARTED", "COMMAND"];
    await write(io.stdout, options.json ? json(execs) : table(header, execs.map(row)));
    return 0;
  },
};

function row({ execId, state, exit, startedAtMs, command }: ExecInfo): string[] {
  const end = exit && (exit.reason === "exited" ? "" : ` (${exit.reason})`);
  const started = startedAtMs === 0 ? "" : new Date(startedAtMs).toISOString();
  return [execId, state, exit ? `${exit.exitCode}${end}` : "", started, command.join(" ")];
}
