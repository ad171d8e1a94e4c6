// recording-log.ts: a log that tests can read.
import type { Log, LogFields } from "@belay/program";

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Record<string, unknown>;
}

export class RecordingLog implements Log {
  readonly lines: LogLine[];
  readonly #bound: LogFields;

  constructor(lines: LogLine[] = [], bound: LogFields = {}) {
    this.lines = lines;
    this.#bound = bound;
  }

  readonly debug = this.#at("debug");
  readonly info = this.#at("info");
  readonly warn = this.#at("warn");
  readonly error = this.#at("error");

  child(fields: LogFields): Log {
    return new RecordingLog(this.lines, { ...this.#bound, ...fields });
  }

  events(event: string): LogLine[] {
    return this.lines.filter((line) => line.event === event);
  }

  #at(level: string) {
    return (event: string, fields?: LogFields) => {
      this.lines.push({ level, event, fields: { ...this.#bound, ...fields } });
    };
  }
}
