// program.ts: which program is executed for a command, with which arguments, and where.
import { basename } from "node:path";
import type { ProcessSpec } from "./process-handle.ts";

export interface Program {
  readonly file: string;
  readonly argv0: string;
  readonly args: readonly string[];
  /** `undefined`: the supervisor's own. */
  readonly cwd: string | undefined;
}

/** The program itself: what `argv` names, or the shell for a line. */
export function programOf({ shell, command }: ProcessSpec): Program {
  if (command.is === "line") return shellProgram(shell, [command.line]);
  const [file = "", ...args] = command.argv;
  return { file, argv0: file, args, cwd: command.workdir || undefined };
}

/** `exec` takes the shell's place, so that the pid, the status and every signal are the command's own. */
const ENTER_AND_EXECUTE = 'cd -- "$0" || exit 126; exec "$@"';

/**
 * The same through a shell: where nothing can be executed under that name, or its directory cannot be
 * entered, it says so on stderr and exits with 127 or 126, as shells and container runtimes have it.
 * So the exit code is that of a process, and not made up.
 */
export function programInShell({ shell, command }: ProcessSpec): Program {
  if (command.is === "line") return shellProgram(shell, [command.line]);
  const { argv, workdir } = command;
  // bash would take such a name for an option of `exec`; and not every shell takes `exec --`.
  const words = argv[0]?.startsWith("-") ? ["env", "--", ...argv] : argv;
  return shellProgram(shell, [ENTER_AND_EXECUTE, asDirectory(workdir), ...words]);
}

function shellProgram(shell: string, args: readonly string[]): Program {
  return { file: shell, argv0: basename(shell), args: ["-c", ...args], cwd: undefined };
}

/** To `cd`, `-` is the directory before, and other relative names are looked for in CDPATH first. */
function asDirectory(workdir: string): string {
  return workdir.startsWith("/") ? workdir : `./${workdir}`;
}
