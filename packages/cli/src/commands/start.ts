// start.ts: `belay start`: starts a command that outlives us, and prints its id.
import { Option } from "commander";
import type { BelayClient, StartOptions } from "@belay/client";
import { integer } from "@belay/program";
import { jsonOption, optionOf } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { note, write } from "../io.ts";
import type { Io } from "../io.ts";
import { duration, specOptions, startOptions } from "../spec-options.ts";
import type { SpecOptions } from "../spec-options.ts";
import { json } from "../table.ts";

interface StartCommandOptions extends SpecOptions {
  readonly logBytes?: number;
  readonly dropOldest?: true;
  readonly keep?: number;
  readonly json?: true;
}

export const startCommand: CommandSpec<StartCommandOptions> = {
  name: "start",
  summary: "Starts a command that needs nobody to follow it, and prints its id.",
  args: [{ name: "SANDBOX", help: "name or id" }],
  takesCommand: true,
  options: [
    ...specOptions(),
    optionOf("--log-bytes <bytes>", "output that is kept", integer({ min: 1, unit: "bytes" })),
    new Option(
      "--drop-oldest",
      "when that is full and nobody follows, drop the oldest; else it waits",
    ),
    optionOf("--keep <time>", "keep its result so long after its end", duration()),
    jsonOption(),
  ],
  examples: [
    { does: "Start it, look at it later:", line: "id=$(belay start demo -- make all)" },
    { does: "See all of its output, wait for its end:", line: 'belay follow demo "$id"' },
  ],
  async run({ client, io, args, command, options }) {
    const [sandbox] = args as [string];
    const more: StartOptions = {
      ...(options.logBytes !== undefined && { logBytes: options.logBytes }),
      ...(options.dropOldest && { logOverflow: "drop_oldest" }),
      ...(options.keep !== undefined && { retentionMs: options.keep }),
    };
    const isJson = options.json === true;
    return startDetached({ client, io, sandbox, command, options, more, json: isJson });
  },
};

export async function startDetached(start: {
  readonly client: BelayClient;
  readonly io: Io;
  readonly sandbox: string;
  readonly command: readonly string[];
  readonly options: SpecOptions;
  readonly more?: StartOptions;
  readonly json: boolean;
}): Promise<number> {
  const { client, io, sandbox, command, options, more } = start;
  const { sandboxId, execId } = await client.start(sandbox, command, {
    ...(await startOptions(options, io)),
    ...more,
    detached: true,
    signal: io.stop,
  });
  await write(io.stdout, start.json ? json({ sandboxId, execId }) : `${execId}\n`);
  if (io.stderr.isTTY) await note(io, `see its output: belay follow ${sandbox} ${execId}`);
  return 0;
}
