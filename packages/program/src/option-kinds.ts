import { isAbsolute, resolve } from "node:path";

/** What a text may turn out to be: a value, or what was expected instead. The problem never quotes the text. */
export type Parsed<T> = { value: T } | { problem: string };

/** One kind of option value: how it is read, and how it is shown in the help. */
export interface OptionKind<T> {
  /** Stands for the value in the help, such as `host:port`. */
  readonly placeholder: string;
  /** What the flag alone means, for the kinds where a value may be left out. */
  readonly bare?: string;
  parse(text: string): Parsed<T>;
  show(value: T): string;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A whole number; `unit` is for the reader of help and messages, such as `ms` or `bytes`. */
export function integer(range: { min: number; max?: number; unit?: string }): OptionKind<number> {
  const { min, max = Number.MAX_SAFE_INTEGER, unit } = range;
  const bounds = range.max === undefined ? `of at least ${min}` : `from ${min} to ${max}`;
  const problem = `must be a whole number${unit ? ` of ${unit}` : ""} ${bounds}`;
  return {
    placeholder: unit ?? "number",
    parse(text) {
      const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? { value } : { problem };
    },
    show: String,
  };
}

/** Any text that is not empty. */
export function text(placeholder = "text"): OptionKind<string> {
  return {
    placeholder,
    parse: (value) => (value === "" ? { problem: "must not be empty" } : { value }),
    show: String,
  };
}

/** One of a few words. */
export function choice<const Word extends string>(words: readonly Word[]): OptionKind<Word> {
  return {
    placeholder: words.join("|"),
    parse(given) {
      const value = words.find((word) => word === given);
      return value === undefined ? { problem: `must be one of ${words.join(", ")}` } : { value };
    },
    show: String,
  };
}

/** On or off: `--name` alone is on, `--name=false` is off. */
export function flag(): OptionKind<boolean> {
  const meanings = new Map([
    ["true", true],
    ["1", true],
    ["false", false],
    ["0", false],
  ]);
  return {
    placeholder: "true|false",
    bare: "true",
    parse(given) {
      const value = meanings.get(given.toLowerCase());
      return value === undefined ? { problem: "must be true or false" } : { value };
    },
    show: String,
  };
}

/** An address to listen on or to dial; IPv6 addresses stand in brackets, port 0 means any free port. */
export function hostPort(): OptionKind<HostPort> {
  const problem = "must be host:port, such as 127.0.0.1:17670 or [::1]:17670";
  return {
    placeholder: "host:port",
    parse(given) {
      const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(given);
      const host = match?.[1] ?? match?.[2];
      const port = Number(match?.[3]);
      return host !== undefined && port <= 65_535 ? { value: { host, port } } : { problem };
    },
    show: ({ host, port }) => (host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`),
  };
}

/** A URL of one of these schemes, which holds no password: those have options of their own. */
export function url(schemes: readonly string[] = ["http", "https"]): OptionKind<URL> {
  const problem = `must be a URL that begins with ${schemes.map((s) => `${s}://`).join(" or ")}`;
  return {
    placeholder: "url",
    parse(given) {
      const value = URL.parse(given);
      if (!value || !schemes.includes(value.protocol.slice(0, -1))) return { problem };
      if (value.username || value.password) {
        return { problem: "must be a URL without a user name or password" };
      }
      return { value };
    },
    show: String,
  };
}

/** A path of a file or folder; a relative one counts from where the program was started. */
export function path(placeholder = "path"): OptionKind<string> {
  return {
    placeholder,
    parse(given) {
      if (given === "" || given.includes("\0")) return { problem: "must be a path" };
      return { value: isAbsolute(given) ? given : resolve(given) };
    },
    show: String,
  };
}

/** Several values, separated by commas. */
export function listOf<T>(kind: OptionKind<T>): OptionKind<readonly T[]> {
  return {
    placeholder: `${kind.placeholder},…`,
    parse(given) {
      const parsed = given.split(",").map((item) => kind.parse(item.trim()));
      const wrong = parsed.find((item) => "problem" in item);
      if (wrong) return { problem: `each value ${wrong.problem}` };
      return { value: Object.freeze(parsed.flatMap((i) => ("value" in i ? [i.value] : []))) };
    },
    show: (values) => values.map((value) => kind.show(value)).join(","),
  };
}
