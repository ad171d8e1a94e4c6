// find-shell.ts: which shell runs the commands of this sandbox.
import { accessSync, constants, statSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, isAbsolute } from "node:path";

/** Shells that take `-c` and a POSIX command line, which is how the gateway quotes. */
const POSIX_SHELLS = new Set(["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"]);

/**
 * The first that can be used: the configured one, $SHELL, the user's entry in passwd, /bin/sh.
 * @throws nothing: a configured shell that is missing fails each exec, and says so.
 */
export function findShell(
  configured: string | undefined,
  shellVariable: string | undefined,
): string {
  if (configured !== undefined) return configured;
  for (const path of [shellVariable, passwdShell()]) {
    if (path && POSIX_SHELLS.has(basename(path)) && isExecutable(path)) return path;
  }
  return "/bin/sh";
}

function passwdShell(): string | undefined {
  try {
    return userInfo().shell ?? undefined;
  } catch {
    return undefined; // a user id without an entry is usual in containers
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isAbsolute(path) && statSync(path).isFile();
  } catch {
    return false;
  }
}
