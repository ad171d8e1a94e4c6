// log-line.ts: what a Belay program writes to stderr, one JSON object a line, as a test reads it.

export interface LogLine {
  /** The event's dotted name; empty for a line that is not a JSON object with an event. */
  event: string;
  /** All fields of the line, the event included. */
  fields: Record<string, unknown>;
  /** The line as it was written. */
  text: string;
}

export function parseLogLine(text: string): LogLine {
  const fields = jsonObject(text);
  const event = typeof fields["event"] === "string" ? fields["event"] : "";
  return { event, fields, text };
}

/** Splits a stream of bytes into lines. The rest without a line end comes with flush(). */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") this.#onLine(line);
    if (this.#rest.length > maxLineChars) this.flush();
  }

  flush(): void {
    const rest = this.#rest;
    this.#rest = "";
    if (rest !== "") this.#onLine(rest);
  }
}

const maxLineChars = 1024 * 1024;

function jsonObject(text: string): Record<string, unknown> {
  if (!text.startsWith("{")) return {};
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
