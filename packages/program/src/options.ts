// A program's command line, declared once: what may be said, from argv or the environment, and what it means.
import { Command, CommanderError, Option as CommanderOption } from "commander";
import type { OptionKind } from "./option-kinds.ts";

/** One option of a command. Its flag is its key in kebab case: `dataDir` is `--data-dir`. */
export interface Option<T> {
  readonly kind: OptionKind<NonNullable<T>>;
  readonly spec: OptionSpec & { readonly default?: NonNullable<T> };
}

export interface OptionSpec {
  /** One line for the help: what it does, and what it is good for. */
  readonly help: string;
  /** Environment variables that may hold it; the first that is set and not empty wins. */
  readonly env?: readonly string[];
  /** The heading of the help that it stands under. Default: "Options". */
  readonly group?: string;
  readonly required?: boolean;
  /** Its value appears in no message and no help. */
  readonly secret?: boolean;
}

export interface CommandSpec<Name extends string, Options extends AnyOptions> {
  readonly name: Name;
  readonly summary: string;
  readonly options: Options;
  /** Whole command lines, each with what it does. */
  readonly examples?: readonly { readonly does: string; readonly line: string }[];
  /** Rules between options; asked only when each value is good by itself. Returns what is wrong. */
  check?(values: OptionValues<Options>): readonly string[];
}

export interface ProgramSpec<Commands extends readonly AnyCommand[]> {
  readonly name: string;
  readonly version: string;
  readonly summary: string;
  readonly commands: Commands;
}

export type OptionValues<Options extends AnyOptions> = {
  readonly [Key in keyof Options]: Options[Key] extends Option<infer T> ? T : never;
};

/** The command that was asked for, with its options: a union over all commands of the program. */
export type Invocation<Commands extends readonly AnyCommand[]> = {
  [Index in keyof Commands]: Commands[Index] extends CommandSpec<infer Name, infer Options>
    ? { readonly command: Name; readonly options: OptionValues<Options> }
    : never;
}[number];

/** Either there is work to do, or all there is to say stands in `stdout` and `stderr`. */
export type CommandLine<Commands extends readonly AnyCommand[]> =
  | { readonly is: "run"; readonly invocation: Invocation<Commands> }
  | {
      readonly is: "end";
      readonly exitCode: number;
      readonly stdout: string;
      readonly stderr: string;
    };

type AnyOptions = Readonly<Record<string, Option<unknown>>>;
type AnyCommand = CommandSpec<string, AnyOptions>;

/** The exit code for a command line that cannot be followed, as shells use it. */
export const badUsageExitCode = 2;

/** Declares an option. Without a default it is `undefined` when not given, unless it is required. */
export function option<T>(
  kind: OptionKind<T>,
  spec: OptionSpec & { readonly default: NoInfer<T> },
): Option<T>;
export function option<T>(kind: OptionKind<T>, spec: OptionSpec & { required: true }): Option<T>;
export function option<T>(kind: OptionKind<T>, spec: OptionSpec): Option<T | undefined>;
export function option<T>(
  kind: OptionKind<NonNullable<T>>,
  spec: OptionSpec & { readonly default?: NonNullable<T> },
): Option<T> {
  return { kind, spec };
}

/** Declares a command, so that the types of its values follow from its options. */
export function command<const Name extends string, Options extends AnyOptions>(
  spec: CommandSpec<Name, Options>,
): CommandSpec<Name, Options> {
  return spec;
}

/**
 * Reads the command line of this process. Help, the version and mistakes are printed here and end the process:
 * exit code 0 for what was asked for, 2 for what cannot be followed.
 */
export function readCommandLine<const Commands extends readonly AnyCommand[]>(
  program: ProgramSpec<Commands>,
): Invocation<Commands> {
  const line = parseCommandLine(program, { argv: process.argv.slice(2), env: process.env });
  if (line.is === "run") return line.invocation;
  process.stdout.write(line.stdout);
  process.stderr.write(line.stderr);
  process.exit(line.exitCode);
}

/** Decides what a command line says. Touches nothing: argv beats env, env beats the default. */
export function parseCommandLine<const Commands extends readonly AnyCommand[]>(
  program: ProgramSpec<Commands>,
  from: { argv: readonly string[]; env: Readonly<Record<string, string | undefined>> },
): CommandLine<Commands> {
  let stdout = "";
  let stderr = "";
  let invocation: Invocation<Commands> | undefined;

  const root = new Command(program.name)
    .description(program.summary)
    .version(program.version, "--version", "print the version")
    .helpOption("--help", "print this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => (stdout += text),
      writeErr: (text) => (stderr += text),
    });
  for (const spec of program.commands) {
    // Commander stops at the first mistake. So it only takes the line apart, and we judge all of it at once.
    const sub = root.command(spec.name).description(spec.summary);
    sub.allowUnknownOption().allowExcessArguments();
    for (const [key, each] of Object.entries(spec.options)) sub.addOption(toCommander(key, each));
    if (spec.examples) sub.addHelpText("after", showExamples(spec.examples));
    sub.action(() => {
      const judged = judge(spec, sub, from.env);
      if ("values" in judged) {
        invocation = { command: spec.name, options: judged.values } as Invocation<Commands>;
        return;
      }
      stderr += complain(`${program.name} ${spec.name}`, judged.problems);
    });
  }

  try {
    root.parse(from.argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { is: "end", exitCode: 0, stdout, stderr };
    if (stderr === "") stderr = `${error.message}\n`;
    if (error.code === "commander.unknownCommand" || error.code === "commander.unknownOption") {
      const names = program.commands.map((spec) => spec.name).join(", ");
      stderr += `Commands: ${names}. Run \`${program.name} --help\` to see what they do.\n`;
    }
  }
  if (invocation) return { is: "run", invocation };
  return { is: "end", exitCode: badUsageExitCode, stdout, stderr };
}

/** `maxPendingOpens` → `--max-pending-opens` */
function longFlag(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function toCommander(key: string, { kind, spec }: Option<unknown>): CommanderOption {
  const value = kind.bare === undefined ? ` <${kind.placeholder}>` : "";
  const notes = [
    spec.required ? "required" : "",
    spec.default === undefined || spec.secret ? "" : `default: ${kind.show(spec.default)}`,
    spec.env?.length ? `env: ${spec.env.join(", ")}` : "",
  ].filter(Boolean);
  const help = notes.length > 0 ? `${spec.help} (${notes.join("; ")})` : spec.help;
  const result = new CommanderOption(longFlag(key) + value, help);
  result.helpGroup(`${spec.group ?? "Options"}:`);
  // A value that is left out is a mistake for us to report beside the others, not for commander to stop at.
  result.required = false;
  result.optional = true;
  return result;
}

function judge<Options extends AnyOptions>(
  spec: CommandSpec<string, Options>,
  parsed: Command,
  env: Readonly<Record<string, string | undefined>>,
): { values: OptionValues<Options> } | { problems: readonly string[] } {
  const problems = strays(parsed.args);
  const values: Record<string, unknown> = {};
  const given = parsed.opts<Record<string, string | true | undefined>>();

  for (const [key, { kind, spec: each }] of Object.entries<Option<unknown>>(spec.options)) {
    const flag = longFlag(key);
    const source = findSource(flag, given[key], each.env ?? [], env);
    const text = source?.text === true ? kind.bare : source?.text;
    if (!source) {
      if (each.required) problems.push(missing(`${flag} <${kind.placeholder}>`, each.env));
      values[key] = each.default;
    } else if (text === undefined) {
      problems.push(`${source.name} needs a value: ${flag} <${kind.placeholder}>`);
    } else {
      const result = kind.parse(text);
      if ("value" in result) values[key] = result.value;
      else problems.push(wrong(source.name, result.problem, each.secret ? undefined : text));
    }
  }

  if (problems.length > 0) return { problems };
  const result = Object.freeze(values) as OptionValues<Options>;
  const conflicts = spec.check?.(result) ?? [];
  return conflicts.length > 0 ? { problems: conflicts } : { values: result };
}

function findSource(
  flag: string,
  given: string | true | undefined,
  names: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): { name: string; text: string | true } | undefined {
  if (given !== undefined) return { name: flag, text: given };
  // An empty variable is how many a tool says "not set".
  const name = names.find((each) => env[each]);
  return name === undefined ? undefined : { name, text: env[name] ?? "" };
}

/** What commander could not place: unknown flags, and arguments that belong to nothing. */
function strays(args: readonly string[]): string[] {
  const problems: string[] = [];
  for (const [index, arg] of args.entries()) {
    const before = args[index - 1];
    if (arg.startsWith("-")) {
      problems.push(`${arg.split("=", 1)[0]} is not an option of this command`);
    } else if (!before?.startsWith("-") || before.includes("=")) {
      problems.push(`unexpected argument ${quote(arg)}: everything is said with --options`);
    }
    // Else it is most likely the value of the unknown flag before it, and named by that.
  }
  return problems;
}

function missing(flag: string, env: readonly string[] = []): string {
  return `${flag} is required${env.length > 0 ? ` (or set ${env.join(" or ")})` : ""}`;
}

function wrong(name: string, problem: string, text: string | undefined): string {
  return text === undefined ? `${name} ${problem}` : `${name} ${problem}, not ${quote(text)}`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function complain(name: string, problems: readonly string[]): string {
  const lines = problems.map((problem) => `  ${problem}`);
  return [`${name}: cannot start:`, ...lines, `Run \`${name} --help\` for all options.`, ""].join(
    "\n",
  );
}

function showExamples(examples: NonNullable<AnyCommand["examples"]>): string {
  const lines = examples.map(({ does, line }) => `  # ${does}\n  ${line}`);
  return `\nExamples:\n${lines.join("\n")}`;
}
