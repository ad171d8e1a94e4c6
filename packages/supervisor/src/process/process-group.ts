// process-group.ts: everything that an exec has started, as far as it can be found: its process group,
// its session (jobs of an interactive shell have groups of their own), and whoever still carries its
// marker (setsid, double fork).
import { sleep } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { ProcessEntry, ProcessTable } from "./process-table.ts";

export interface TerminationLimits {
  /** Between TERM and KILL. */
  readonly graceMs: number;
  /** How long to look, after the first KILL, until nothing is left. */
  readonly killWaitMs: number;
}

/** Whom a signal or a question is about. */
export type Reach =
  /** The processes that are still where they were started. */
  | "group"
  /** Also those that have left. */
  | "everything";

/** Looks become rarer while a group takes its time to end, up to this. */
const MAX_POLL_MS = 50;
/** These waits have bounds of their own, and nobody who would leave them earlier. */
const NEVER = new AbortController().signal;

export class ProcessGroup {
  readonly #leaderPid: number;
  readonly #marker: string;
  readonly #table: ProcessTable;
  readonly #clock: Clock;
  readonly #startedMs: number;

  /** @param leaderPid of a process that was started just now. */
  constructor(leaderPid: number, marker: string, table: ProcessTable, clock: Clock) {
    this.#leaderPid = leaderPid;
    this.#marker = marker;
    this.#table = table;
    this.#clock = clock;
    this.#startedMs = clock.now();
  }

  /** Sends signals, in this order; false when nobody was there. */
  signal(signals: readonly NodeJS.Signals[], reach: Reach): boolean {
    const pids = [-this.#leaderPid, ...(reach === "everything" ? this.#strays() : [])];
    return pids
      .map((pid) => signals.map((signal) => send(pid, signal)).includes(true))
      .includes(true);
  }

  isAlive(reach: Reach): boolean {
    const leaderPid = this.#leaderPid;
    // The first question is cheap, and mostly enough: not even a zombie is left.
    const groupIsAlive =
      send(-leaderPid, 0) && this.#live().some(({ groupId }) => groupId === leaderPid);
    return groupIsAlive || (reach === "everything" && this.#strays().length > 0);
  }

  /** False when some of them still live after `limitMs`. */
  async whenGone(
    reach: Reach,
    limitMs: number,
    { whileWaiting }: { whileWaiting?: () => void } = {},
  ): Promise<boolean> {
    const untilMs = this.#clock.now() + limitMs;
    for (let pollMs = 1; this.isAlive(reach); pollMs = Math.min(MAX_POLL_MS, pollMs * 2)) {
      if (this.#clock.now() >= untilMs) return false;
      await sleep(pollMs, this.#clock, NEVER);
      whileWaiting?.();
    }
    return true;
  }

  /** TERM, a grace period, KILL until nothing is left. False when something outlived even that. */
  async terminate({ graceMs, killWaitMs }: TerminationLimits): Promise<boolean> {
    // A stopped process handles TERM only when it runs again.
    this.signal(["SIGTERM", "SIGCONT"], "everything");
    return (await this.whenGone("everything", graceMs)) || this.kill(killWaitMs);
  }

  /** KILL, repeated: a process may have forked while we looked. False when something is left. */
  kill(killWaitMs: number): Promise<boolean> {
    const killAll = () => void this.signal(["SIGKILL"], "everything");
    killAll();
    return this.whenGone("everything", killWaitMs, { whileWaiting: killAll });
  }

  /** Those who left the group, by pid. */
  #strays(): number[] {
    return this.#live()
      .filter(({ groupId }) => groupId !== this.#leaderPid)
      .filter((each) => each.sessionId === this.#leaderPid || each.marker === this.#marker)
      .map(({ pid }) => pid);
  }

  #live(): readonly ProcessEntry[] {
    return this.#table.live({ sinceMs: this.#startedMs });
  }
}

function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // it is there, as another user
  }
}
