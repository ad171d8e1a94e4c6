// shell-puppet.ts: what a plain SSH server does with a command line: hands it to a real shell, and its output back.
import { spawn } from "node:child_process";
import type { ExecScript } from "../../src/puppet-ssh.ts";

/** For commands with little output. @param shell Which one; a command line is to mean the same in each. */
export function runsInShell(shell: string, args: readonly string[] = ["-c"]): ExecScript {
  return ({ channel, command, environment }) => {
    const child = spawn(shell, [...args, command], {
      env: { PATH: process.env["PATH"], ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.on("error", () => {});
    child.on("error", (error) => channel.stderr.write(`the puppet's shell: ${error.message}\n`));
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    channel.pipe(child.stdin);
    child.on("close", (code, signal) => {
      if (code === null) channel.exit(signal ?? "KILL", false, "");
      else channel.exit(code);
      channel.end();
    });
  };
}
