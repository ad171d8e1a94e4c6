// options.ts: what may be said on the bench's command line.
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

export interface BenchOptions {
  /** Where the results go. */
  readonly jsonFile: string;
  /** The names of the measures to take, in the bench's own order. */
  readonly only: ReadonlySet<string>;
  /** Fewer and smaller samples: for "does it still run", and for a first look. */
  readonly quick: boolean;
  /** Whether a missed floor is a failure. */
  readonly check: boolean;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const defaultJsonFile = "bench-results.json";

/** Returns what was asked for, or a text to print and the exit code that goes with it. */
export function readOptions(
  args: string[],
  measureNames: readonly string[],
): BenchOptions | { text: string; exitCode: number } {
  const usage = usageOf(measureNames);
  try {
    const { values } = parseArgs({
      args,
      options: {
        json: { type: "string", default: defaultJsonFile },
        only: { type: "string" },
        quick: { type: "boolean", default: false },
        check: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) return { text: usage, exitCode: 0 };
    const only = new Set(values.only?.split(",").map((name) => name.trim()) ?? measureNames);
    const unknown = [...only].filter((name) => !measureNames.includes(name));
    if (unknown.length > 0) throw new Error(`--only: there is no measure "${unknown.join(", ")}"`);
    // Against the root, where `npm run bench` is said: turbo has moved us into another folder since.
    const jsonFile = isAbsolute(values.json) ? values.json : join(root, values.json);
    return { jsonFile, only, quick: values.quick, check: values.check };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { text: `${problem}\n\n${usage}`, exitCode: 2 };
  }
}

function usageOf(measureNames: readonly string[]): string {
  return `Usage: npm run bench -- [options]

  --only NAME,NAME  these measures only: ${measureNames.join(", ")}
  --quick           fewer and smaller samples, in less than a minute
  --check           exit code 1 when a floor is missed
  --json FILE       where the results go, from the repository's root (${defaultJsonFile})`;
}
