// spec-options.ts: how a command is run: the options of `exec` and `start`.
import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { Option } from "commander";
import type { StartOptions } from "@belay/client";
import { text } from "@belay/program";
import type { OptionKind } from "@belay/program";
import { UsageError, optionOf } from "./command.ts";
import type { Io } from "./io.ts";

export interface SpecOptions {
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly workdir?: string;
  readonly timeout?: number;
  readonly id?: string;
}

const append = (value: string, all: readonly string[]): string[] => [...all, value];

export function specOptions(): Option[] {
  return [
    new Option("-e, --env <key=value>", "set a variable; KEY alone takes ours; may be repeated")
      .argParser(append)
      .default([], "none"),
    new Option("--env-file <file>", "lines of KEY=VALUE; may be repeated")
      .argParser(append)
      .default([], "none"),
    optionOf("-w, --workdir <dir>", "run it there", text("dir")),
    optionOf(
      "--timeout <time>",
      "then end it and exit with 124: 90, 90s, 5m, 2h, 500ms",
      duration(),
    ),
    optionOf(
      "--id <exec>",
      "an id of your own: the same start again finds the same exec",
      text("exec"),
    ),
  ];
}

/** @throws UsageError. */
export async function startOptions(options: SpecOptions, io: Io): Promise<StartOptions> {
  const { workdir, timeout, id } = options;
  return {
    environment: await environment(options, io),
    ...(workdir !== undefined && { workdir }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    ...(id !== undefined && { execId: id }),
  };
}

/** `-e` beats files, a later one an earlier one. */
async function environment({ env, envFile }: SpecOptions, io: Io): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const file of envFile) {
    const content = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
      throw new UsageError(`--env-file ${file} cannot be read (${cause.code})`, { cause });
    });
    Object.assign(all, parseEnv(content));
  }
  for (const entry of env) {
    const at = entry.indexOf("=");
    const key = at < 0 ? entry : entry.slice(0, at);
    const value = at < 0 ? io.env[key] : entry.slice(at + 1);
    // The text is not quoted: it may hold a secret.
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw new UsageError("-e takes KEY=VALUE or KEY");
    if (value === undefined) throw new UsageError(`-e ${key}: there is no such variable here`);
    all[key] = value;
  }
  return all;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A time in milliseconds; a bare number counts seconds. */
export function duration(): OptionKind<number> {
  return {
    placeholder: "time",
    parse(given) {
      const [, number, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given) ?? [];
      const ms = Math.round(Number(number) * UNITS[unit]!);
      if (ms > 0 && Number.isSafeInteger(ms)) return { value: ms };
      return { problem: "must be a time, such as 90s, 5m or 500ms" };
    },
    show: (ms) => `${ms}ms`,
  };
}
