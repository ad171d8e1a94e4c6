// session-registry.ts: which sandbox has a session right now, and who waits for one.
import { BelayError } from "@belay/protocol";
import { untilAbort, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import type { SupervisorSession } from "./supervisor-session.ts";

export class SessionRegistry {
  readonly #limits: GatewayLimits;
  readonly #clock: Clock;
  readonly #current = new Map<string, SupervisorSession>();
  readonly #waiters = new Map<string, Set<(session: SupervisorSession) => void>>();
  /** Sandboxes whose supervisor came at least once; bounded by what the store knows. */
  readonly #seen = new Set<string>();

  constructor(limits: GatewayLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#current.size;
  }

  current(sandboxId: string): SupervisorSession | undefined {
    return this.#current.get(sandboxId);
  }

  wasSeen(sandboxId: string): boolean {
    return this.#seen.has(sandboxId);
  }

  all(): Iterable<SupervisorSession> {
    return this.#current.values();
  }

  /**
   * Makes this the sandbox's session until it ends. An older one is superseded: it may be a dead
   * connection that nobody has noticed yet, and only the new one is known to work.
   * @throws BelayError `limit_exceeded`.
   */
  add(session: SupervisorSession): void {
    const older = this.#current.get(session.sandboxId);
    if (!older && this.#current.size >= this.#limits.sessions) {
      throw new BelayError("limit_exceeded", `at most ${this.#limits.sessions} sessions`);
    }
    this.#current.set(session.sandboxId, session);
    this.#seen.add(session.sandboxId);
    session.ended.addEventListener("abort", () => this.#remove(session), { once: true });
    older?.end(
      new BelayError("session_superseded", "a newer session of this sandbox took over", {
        ids: { sandboxId: older.sandboxId, sessionId: older.id },
      }),
    );
    for (const wake of this.#waiters.get(session.sandboxId) ?? []) wake(session);
  }

  #remove(session: SupervisorSession): void {
    if (this.#current.get(session.sandboxId) === session) this.#current.delete(session.sandboxId);
  }

  /**
   * The session, or the next one.
   * @param options.limitMs how long to wait for it. Default `limits.sessionWaitMs`.
   * @throws BelayError `session_wait_timeout`.
   */
  async waitFor(
    sandboxId: string,
    { signal, limitMs = this.#limits.sessionWaitMs }: { signal: AbortSignal; limitMs?: number },
  ): Promise<SupervisorSession> {
    const current = this.#current.get(sandboxId);
    if (current) return current;
    const wait = {
      what: "supervisor session",
      limitMs,
      kind: "session_wait_timeout",
      message: `supervisor relay failed: no supervisor session within ${limitMs} ms`,
      ids: { sandboxId },
    } as const;
    return waitAtMost(wait, this.#clock, (waiting) => this.#next(sandboxId, waiting), { signal });
  }

  async #next(sandboxId: string, signal: AbortSignal): Promise<SupervisorSession> {
    const waiters = this.#waiters.get(sandboxId) ?? new Set();
    this.#waiters.set(sandboxId, waiters);
    let wake: ((session: SupervisorSession) => void) | undefined;
    try {
      const next = new Promise<SupervisorSession>((resolve) => waiters.add((wake = resolve)));
      return await untilAbort(next, signal);
    } finally {
      if (wake) waiters.delete(wake);
      if (waiters.size === 0) this.#waiters.delete(sandboxId);
    }
  }
}
