// ssh-config.ts: `belay ssh-config`: what to write into ~/.ssh/config, so that a sandbox is a host.
import { Option } from "commander";
import { UsageError } from "../command.ts";
import type { CommandSpec } from "../command.ts";
import { gatewayFlags } from "../gateway-options.ts";
import { write } from "../io.ts";

/** ssh reads some other characters as patterns or as the end of the name. */
const HOST = /^[A-Za-z0-9._-]+$/;

export const sshConfigCommand: CommandSpec<{ hostPrefix: string }> = {
  name: "ssh-config",
  summary: "Prints what makes sandboxes hosts of ssh, scp, sftp, rsync and editors.",
  args: [{ name: "SANDBOX...", help: "names or ids" }],
  options: [
    new Option(
      "--host-prefix <text>",
      "what stands before the sandbox's name in the host's",
    ).default("belay-"),
  ],
  examples: [
    { does: "Once; then `ssh belay-demo`:", line: "belay ssh-config demo >> ~/.ssh/config" },
    {
      does: "In a file of its own, which ~/.ssh/config includes:",
      line: "belay ssh-config demo web > ~/.ssh/belay.conf; echo 'Include belay.conf'",
    },
    { does: "Without a prefix; then `ssh demo`:", line: "belay ssh-config --host-prefix '' demo" },
  ],
  async run({ io, args, options }) {
    const flags = gatewayFlags({ ...options }, io);
    const proxy = (sandbox: string) => commandLine([...io.self, "ssh-proxy", ...flags, sandbox]);
    const blocks = args.map((sandbox) => {
      const host = `${options.hostPrefix}${sandbox}`;
      if (!HOST.test(host)) throw new UsageError(`${JSON.stringify(host)} cannot be a host of ssh`);
      return hostBlock(host, proxy(sandbox));
    });
    await write(io.stdout, blocks.join("\n"));
    return 0;
  },
};

function hostBlock(host: string, proxyCommand: string): string {
  return `Host ${host}
  User sandbox
  ProxyCommand ${proxyCommand}
  # Who answers is known without a host key: the gateway by its TLS certificate, and it lets only the
  # holder of the sandbox's own token answer. The key is a new one at each start of the sandbox.
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
  ServerAliveInterval 15
  ServerAliveCountMax 3
  # One connection for many commands: much faster for scp, rsync and editors.
  #ControlMaster auto
  #ControlPath ~/.ssh/belay-%C
  #ControlPersist 10m
`;
}

/** For the shell that ssh runs it with; ssh itself reads % as the begin of a token. */
function commandLine(words: readonly string[]): string {
  return words.map((word) => quote(word).replaceAll("%", "%%")).join(" ");
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
