// A log line is an event name plus fields, as one line of JSON on stderr.
import { destination, pino, stdTimeFunctions } from "pino";
import type { DestinationStream } from "pino";
import { choice } from "./option-kinds.ts";
import { option } from "./options.ts";

const levels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof levels)[number];

/** What an event is about. An error stands in `err`. Never put a secret here: nothing filters values. */
export type LogFields = Readonly<Record<string, unknown>> & {
  readonly event?: never;
  readonly level?: never;
  readonly time?: never;
  readonly program?: never;
};

/** `event` is a stable dotted name, `relay.opened`: people search for it and programs match on it. */
type LogEvent = (event: string, fields?: LogFields) => void;

export interface Log extends Readonly<Record<LogLevel, LogEvent>> {
  /** A log that adds these fields to each line. */
  child(fields: LogFields): Log;
}

/** The option `--log-level`, the same for each program. */
export const logLevelOption = option(choice(levels), {
  env: ["BELAY_LOG_LEVEL"],
  default: "info",
  group: "Logs",
  help: "the least severe level that is written",
});

export function createLog(config: {
  program: string;
  level: LogLevel;
  /** Where lines go. Default: stderr, synchronously, because the last line before an exit matters most. */
  stream?: DestinationStream;
}): Log {
  const writer = pino(
    {
      level: config.level,
      base: { program: config.program },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error) },
    },
    config.stream ?? destination({ dest: 2, sync: true }),
  );
  // Fields are merged here, not by pino's child(), which would write a repeated name twice into one line.
  const withFields = (bound: LogFields): Log => {
    const at =
      (level: LogLevel): LogEvent =>
      (event, fields) =>
        writer[level]({ event, ...bound, ...fields });
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      child: (fields) => withFields({ ...bound, ...fields }),
    };
  };
  return withFields({});
}

interface ErrorDescription {
  name: string;
  message: string;
  kind?: string;
  code?: string | number;
  stack?: string;
  errors?: ErrorDescription[];
  cause?: ErrorDescription;
}

const maxErrorDepth = 8;
/** These are our own mistakes, and need their place in the code; other errors are told by name and cause. */
const bugs = new Set(["TypeError", "ReferenceError", "RangeError", "SyntaxError"]);

/** Only named properties: what else hangs on an error (a request, its headers) may hold a secret. */
function describeError(error: unknown, depth = 1): ErrorDescription {
  if (!(error instanceof Error)) return { name: "NotAnError", message: String(error) };
  const description: ErrorDescription = { name: error.name, message: error.message };
  if ("kind" in error && typeof error.kind === "string") description.kind = error.kind;
  if ("code" in error && (typeof error.code === "string" || typeof error.code === "number")) {
    description.code = error.code;
  }
  if (bugs.has(error.name) && error.stack !== undefined) description.stack = error.stack;
  if (depth >= maxErrorDepth) return description;
  if (error instanceof AggregateError) {
    description.errors = error.errors
      .slice(0, maxErrorDepth)
      .map((each: unknown) => describeError(each, depth + 1));
  }
  if (error.cause !== undefined) description.cause = describeError(error.cause, depth + 1);
  return description;
}
