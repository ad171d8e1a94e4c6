// command.ts: what each command of `belay` is made of, and what it is given.
import { Command, InvalidArgumentError, Option } from "commander";
import type { BelayClient } from "@belay/client";
import type { OptionKind } from "@belay/program";
import { gatewayOptions, openGateway } from "./gateway-options.ts";
import type { Io } from "./io.ts";

export interface Run<Options> {
  readonly io: Io;
  readonly client: BelayClient;
  readonly options: Options;
  /** The arguments before `--`. */
  readonly args: readonly string[];
  /** What stands after `--`; only a command with `takesCommand` gets any. */
  readonly command: readonly string[];
}

export interface CommandSpec<Options extends object> {
  readonly name: string;
  readonly summary: string;
  /** Names, in the order in which they are given. All are required. */
  readonly args?: readonly { readonly name: string; readonly help: string }[];
  /** Whether `-- COMMAND…` follows. */
  readonly takesCommand?: boolean;
  readonly options?: readonly Option[];
  readonly examples: readonly { readonly does: string; readonly line: string }[];
  /** Gives the exit code. What it throws is explained, and is Belay's own failure. */
  run(run: Run<Options>): Promise<number>;
}

/** A command line that cannot be followed: what is wrong with it, and what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** An option whose text is read as the kind says. */
export function optionOf<T>(flags: string, help: string, kind: OptionKind<T>): Option {
  return new Option(flags, help).argParser((text) => {
    const parsed = kind.parse(text);
    if ("value" in parsed) return parsed.value;
    throw new InvalidArgumentError(`It ${parsed.problem}.`);
  });
}

export const jsonOption = (): Option => new Option("--json", "print JSON, for programs");

/** Adds a command to the program. `onDone` hears its exit code; a failure is thrown. */
export function addCommand<Options extends object>(
  program: Command,
  spec: CommandSpec<Options>,
  from: { readonly io: Io; readonly command: readonly string[] | undefined },
  onDone: (exitCode: number) => void,
): void {
  const { args = [], takesCommand = false } = spec;
  const usage = ["[options]", ...args.map(({ name }) => name), takesCommand ? "-- COMMAND…" : ""];
  const command = program
    .command(spec.name)
    .summary(spec.summary)
    .description(spec.summary)
    .usage(usage.join(" ").trim())
    .allowExcessArguments(takesCommand);
  for (const { name, help } of args) command.argument(`<${name}>`, help);
  for (const option of [...(spec.options ?? []), ...gatewayOptions()]) command.addOption(option);
  command.addHelpText("after", () => examplesText(spec.examples));
  command.action(async () => {
    if (takesCommand) assertCommand(spec.name, command.args, args.length, from.command);
    else if (from.command)
      throw new UsageError(`\`belay ${spec.name}\` runs no command: leave -- out`);
    const options = command.opts<Options>();
    using gateway = await openGateway(command.opts(), from.io);
    onDone(
      await spec.run({
        io: from.io,
        client: gateway.client,
        options,
        args: command.args,
        command: from.command ?? [],
      }),
    );
  });
}

function assertCommand(
  name: string,
  args: readonly string[],
  expected: number,
  command: readonly string[] | undefined,
): void {
  if (command !== undefined && command.length > 0 && args.length === expected) return;
  const stray = args.slice(expected).join(" ");
  throw new UsageError(
    `put -- between the sandbox and the command: belay ${name} ${args[0] ?? "SANDBOX"} -- ${stray || "COMMAND…"}`,
  );
}

export function examplesText(examples: CommandSpec<object>["examples"]): string {
  const lines = examples.map(({ does, line }) => `  # ${does}\n  ${line}`);
  return `\nExamples:\n${lines.join("\n")}`;
}
