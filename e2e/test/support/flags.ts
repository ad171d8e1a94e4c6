// flags.ts: settings of our programs as command lines.

/** `{ "keepalive-interval-ms": 500 }` as `--keepalive-interval-ms 500`. */
export function flags(settings: Readonly<Record<string, number | string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}
