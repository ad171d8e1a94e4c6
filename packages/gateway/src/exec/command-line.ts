// command-line.ts: the plain form: argv, workdir and environment as one line for a POSIX shell.
import { BelayError } from "@belay/protocol";

export interface PlainCommand {
  readonly command: readonly string[];
  /** Empty: where the supervisor starts things. */
  readonly workdir: string;
  /** Only what the server will not take as SSH `env` requests. */
  readonly inlineEnvironment: Readonly<Record<string, string>>;
}

/**
 * `exec` replaces the shell, so that the status is the command's own and a signal stays a signal.
 * A workdir that cannot be entered ends with 126, as container runtimes have it, and the shell's
 * message on stderr.
 *
 * Pure. @throws BelayError `invalid_request` when the line is longer than `maxBytes`.
 */
export function commandLine(
  { command, workdir, inlineEnvironment }: PlainCommand,
  { maxBytes }: { maxBytes: number },
): string {
  const exports = Object.entries(inlineEnvironment).map(
    ([key, value]) => `export ${key}=${quote(value)}; `,
  );
  const enter = workdir === "" ? "" : `cd -- ${quote(asPath(workdir))} || exit 126; `;
  // bash would take such a name for an option of `exec`; and not every shell takes `exec --`.
  const program = /^-./.test(command[0] ?? "") ? "env -- " : "";
  const line = `${exports.join("")}${enter}exec ${program}${command.map(quote).join(" ")}`;
  if (Buffer.byteLength(line) > maxBytes) {
    throw new BelayError(
      "invalid_request",
      `command line is longer than ${maxBytes} bytes, quoted`,
    );
  }
  return line;
}

/** To `cd`, `-` is the directory before, and other relative names are looked for in CDPATH first. */
function asPath(workdir: string): string {
  return workdir.startsWith("/") ? workdir : `./${workdir}`;
}

const NEEDS_NO_QUOTES = /^[A-Za-z0-9_/.:@%+,-]+$/;

/** Single quotes keep every byte but themselves; newlines included. */
function quote(word: string): string {
  return NEEDS_NO_QUOTES.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
