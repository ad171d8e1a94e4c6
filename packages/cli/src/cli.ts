// cli.ts: `belay`: its commands, and what becomes of each: an exit code.
import { Command, CommanderError } from "commander";
import { StopRequested } from "@belay/program";
import packageJson from "../package.json" with { type: "json" };
import { UsageError, addCommand, examplesText } from "./command.ts";
import type { CommandSpec } from "./command.ts";
import { cancelCommand } from "./commands/cancel.ts";
import { execCommand } from "./commands/exec.ts";
import { followCommand } from "./commands/follow.ts";
import { forwardCommand } from "./commands/forward.ts";
import { psCommand } from "./commands/ps.ts";
import { sandboxesCommand } from "./commands/sandboxes.ts";
import { signalCommand } from "./commands/signal.ts";
import { sshConfigCommand } from "./commands/ssh-config.ts";
import { sshProxyCommand } from "./commands/ssh-proxy.ts";
import { startCommand } from "./commands/start.ts";
import { BELAY_FAILED, signalExitCode } from "./exit-codes.ts";
import { explainFailure, failureJson } from "./explain-failure.ts";
import { OutputClosed, write } from "./io.ts";
import type { Io } from "./io.ts";

/** A new command is a file in commands/ and a line here. */
const commands = [
  execCommand,
  startCommand,
  followCommand,
  psCommand,
  signalCommand,
  cancelCommand,
  sandboxesCommand,
  forwardCommand,
  sshConfigCommand,
  sshProxyCommand,
] as readonly CommandSpec<object>[];

const examples = [
  { does: "What is there to run commands in?", line: "belay sandboxes" },
  {
    does: "Run a command; its output, exit code and signals are as if it ran here:",
    line: "belay exec demo -- make test",
  },
  {
    does: "Start one that outlives your connection, and come back to it:",
    line: "id=$(belay start demo -- make all); belay follow demo $id",
  },
  {
    does: "ssh, scp, rsync, editors: `ssh belay-demo` from then on:",
    line: "belay ssh-config demo >> ~/.ssh/config",
  },
];

const about = `

Exit codes: the command's own, 128 + n after signal n, 124 after --timeout; ${BELAY_FAILED} when Belay itself failed:
then stderr says whether the command may have run, and what to do next.`;

/** Runs one command line to its end. Never throws. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  // What stands after -- belongs to the sandbox: nothing here may read options into it.
  const dashes = argv.indexOf("--");
  const own = dashes < 0 ? argv : argv.slice(0, dashes);
  const command = dashes < 0 ? undefined : argv.slice(dashes + 1);
  let exitCode = 0;
  let said = "";
  const program = new Command("belay")
    .description("Runs commands in sandboxes, and never loses their output.")
    .version(packageJson.version, "--version", "print the version")
    .helpOption("--help", "print this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => (said += text), writeErr: (text) => (said += text) })
    .addHelpText("after", () => examplesText(examples) + about);
  for (const spec of commands)
    addCommand(program, spec, { io, command }, (code) => (exitCode = code));

  try {
    await program.parseAsync(own, { from: "user" });
    return exitCode;
  } catch (error) {
    return await failed(error, said, own, io).catch(() => BELAY_FAILED);
  }
}

async function failed(
  error: unknown,
  said: string,
  argv: readonly string[],
  io: Io,
): Promise<number> {
  if (error instanceof OutputClosed) return signalExitCode("SIGPIPE");
  if (error instanceof StopRequested) return signalExitCode(error.signal);
  if (error instanceof CommanderError) {
    const isAsked = error.exitCode === 0;
    await write(isAsked ? io.stdout : io.stderr, said || `belay: ${error.message}\n`);
    return isAsked ? 0 : BELAY_FAILED;
  }
  if (error instanceof UsageError) {
    const name = argv[0] ?? "";
    await write(io.stderr, `belay: ${error.message}\nSee \`belay ${name} --help\`.\n`);
    return BELAY_FAILED;
  }
  const isForProgram = argv.includes("--json");
  await write(io.stderr, isForProgram ? failureJson(error) : `belay: ${explainFailure(error)}`);
  return BELAY_FAILED;
}
