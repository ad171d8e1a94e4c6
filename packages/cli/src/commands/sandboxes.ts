// sandboxes.ts: `belay sandboxes`: what there is to run commands in.
import { jsonOption } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { write } from "../io.ts";
import { json, table } from "../table.ts";

export const sandboxesCommand: CommandSpec<{ json?: true }> = {
  name: "sandboxes",
  summary: "Lists the sandboxes that the gateway knows.",
  options: [jsonOption()],
  examples: [{ does: "Ready: its supervisor is connected.", line: "belay sandboxes" }],
  async run({ client, io, options }) {
    const all = await client.sandboxes({ signal: io.stop });
    const rows = all.map(({ name, sandboxId, phase }) => [name, sandboxId, phase]);
    await write(io.stdout, options.json ? json(all) : table(["NAME", "ID", "PHASE"], rows));
    return 0;
  },
};
