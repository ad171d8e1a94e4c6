// log-lines.ts: a log that a test can read.
import type { Log, LogFields } from "@belay/program";

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

export function logLines(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const bound = (fixed: LogFields): Log => {
    const at = (level: string) => (event: string, fields?: LogFields) => {
      lines.push({ level, event, fields: { ...fixed, ...fields } });
    };
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      child: (fields) => bound({ ...fixed, ...fields }),
    };
  };
  return { log: bound({}), lines };
}
