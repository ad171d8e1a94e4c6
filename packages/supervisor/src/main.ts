#!/usr/bin/env node
// main.ts: belay-supervisor: the command line, and how the program starts and ends.
import "@belay/program/small-nursery";
import { badUsageExitCode, createLog, readCommandLine, stopSignals } from "@belay/program";
import { keepProcessAlive } from "@belay/relay-core";
import { tmpdir } from "node:os";
import packageJson from "../package.json" with { type: "json" };
import { inheritedEnvironment } from "./execs/exec-environment.ts";
import { TOKEN_VARIABLES, runCommand, toFeatures, toLimits, toTokenSource } from "./options.ts";
import type { RunOptions } from "./options.ts";
import { findShell } from "./process/find-shell.ts";
import { Supervisor } from "./supervisor.ts";

const { version } = packageJson;

const { options } = readCommandLine({
  name: "belay-supervisor",
  version,
  summary: "Serves one sandbox: dials out to a gateway and runs its commands here.",
  commands: [runCommand],
});
process.exit(await run(options));

/** @returns the exit code: 0 after an orderly stop. */
async function run(options: RunOptions): Promise<number> {
  const log = createLog({ program: "supervisor", level: options.logLevel });
  const token = toTokenSource(options, process.env);
  if (token === undefined) {
    log.error("supervisor.no_token", { todo: `give --token-file, or set ${TOKEN_VARIABLES[0]}` });
    return badUsageExitCode;
  }
  using stop = stopSignals();
  using _alive = keepProcessAlive(); // between two sessions, there is no socket that would
  const supervisor = new Supervisor(
    {
      gateway: options.gateway,
      token,
      tls: { ca: options.tlsCa, cert: options.tlsCert, key: options.tlsKey },
      sandboxId: options.sandboxId,
      version,
      features: toFeatures(options),
      shell: findShell(options.shell, process.env["SHELL"]),
      environment: inheritedEnvironment(process.env),
      runtimeDir: options.runtimeDir ?? tmpdir(),
      execCgroups: options.execCgroups,
      limits: toLimits(options),
    },
    { log, stop },
  );
  const crash = (err: unknown) => {
    log.error("supervisor.crashed", { err });
    supervisor.killAllNow(); // nobody would be left who could
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  try {
    await supervisor.run();
  } catch (err) {
    crash(err);
  }
  return stop.now.aborted ? 1 : 0;
}
