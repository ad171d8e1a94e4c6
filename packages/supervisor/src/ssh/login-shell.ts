// login-shell.ts: the command that a `shell` request stands for.

/**
 * A login shell, as OpenSSH's server gives: it reads the profile, and is interactive on a terminal;
 * without one it runs the script that comes as its input. By `-l`, because nothing that starts our
 * processes can put the dash before the shell's name.
 */
export function loginShell(shell: string): string {
  return `exec '${shell.replaceAll("'", "'\\''")}' -l`;
}
