// wait.ts: real time for the harness. The one file of e2e that may touch setTimeout, so that every wait has a name and a bound.

/** Thrown when something that a test waited for did not happen within its bound. */
export class WaitTimeout extends Error {
  readonly what: string;
  readonly limitMs: number;

  constructor(what: string, limitMs: number, detail = "") {
    super(`waited ${limitMs} ms for ${what}${detail === "" ? "" : `\n${detail}`}`);
    this.name = "WaitTimeout";
    this.what = what;
    this.limitMs = limitMs;
  }
}

export interface Timer {
  cancel(): void;
}

/** Calls `fire` once after `ms` milliseconds, unless cancelled. Keeps the process alive until then. */
export function startTimer(ms: number, fire: () => void): Timer {
  const handle = setTimeout(fire, ms);
  return { cancel: () => clearTimeout(handle) };
}

export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    startTimer(ms, resolve);
  });
}

/**
 * Settles as `promise` does, or rejects with WaitTimeout after `limitMs`.
 * @param detail Called only on timeout; its text is added to the error, e.g. the last log lines.
 */
export async function within<T>(
  what: string,
  limitMs: number,
  promise: Promise<T>,
  detail?: () => string,
): Promise<T> {
  let timer: Timer | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = startTimer(limitMs, () => reject(new WaitTimeout(what, limitMs, detail?.())));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    timer?.cancel();
  }
}

export interface PollOptions {
  /** Milliseconds in all. Defaults to 10_000. */
  limitMs?: number;
  /** Milliseconds between two looks. Defaults to 20. */
  everyMs?: number;
  /** Called only on timeout. */
  detail?: () => string;
}

/** Looks again and again until `look` gives something else than undefined or false. For facts that nobody announces. */
export async function poll<T>(
  what: string,
  look: () => T | Promise<T>,
  options: PollOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const { limitMs = 10_000, everyMs = 20, detail } = options;
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
    if (performance.now() >= endMs) throw new WaitTimeout(what, limitMs, detail?.());
    await sleepMs(everyMs);
  }
}
