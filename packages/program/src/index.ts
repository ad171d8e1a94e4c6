export { createLog, logLevelOption } from "./log.ts";
export type { Log, LogFields, LogLevel } from "./log.ts";
export { choice, flag, hostPort, integer, listOf, path, text, url } from "./option-kinds.ts";
export type { HostPort, OptionKind, Parsed } from "./option-kinds.ts";
export { badUsageExitCode, command, option, parseCommandLine, readCommandLine } from "./options.ts";
export type {
  CommandLine,
  CommandSpec,
  Invocation,
  Option,
  OptionSpec,
  OptionValues,
  ProgramSpec,
} from "./options.ts";
export { StopRequested, stopSignals } from "./stop-signals.ts";
export type { SignalSource, StopSignals } from "./stop-signals.ts";
