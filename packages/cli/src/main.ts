#!/usr/bin/env node
// main.ts: belay: the process around the command line: its streams, signals and exit code.
import { stopSignals } from "@belay/program";
import type { StopRequested } from "@belay/program";
import { runCli } from "./cli.ts";
import { signalExitCode } from "./exit-codes.ts";

const { stdin, stdout, stderr, env } = process;
const stop = stopSignals();
stop.now.addEventListener("abort", () => {
  process.exit(signalExitCode((stop.now.reason as StopRequested).signal));
});
// Each write hears of its own failure; an error event without a listener would end the process first.
for (const stream of [stdout, stderr]) stream.on("error", () => {});

const self = [process.execPath, ...process.execArgv, process.argv[1]!];
const io = { stdin, stdout, stderr, env, self, stop: stop.draining };
// All output has been taken by then; what may be left is an input that never ends.
process.exit(await runCli(process.argv.slice(2), io));
