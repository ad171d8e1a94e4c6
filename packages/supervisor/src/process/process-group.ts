// process-group.ts: everything that an exec has started, as far as it can be found: its process group,
// its session (jobs of an interactive shell have groups of their own), whoever still carries its
// marker (setsid, double fork), and whoever is in its cgroup, where it has one.
import { sleep } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import { EndedProcesses } from "./ended-processes.ts";
import type { ExecCgroup } from "./exec-cgroup.ts";
import { stillLives } from "./process-table.ts";
import type { Look, ProcessEntry, ProcessTable } from "./process-table.ts";

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
  readonly #cgroup: ExecCgroup | undefined;
  readonly #startedMs: number;
  readonly #ended = new EndedProcesses();

  /** @param leaderPid of a process that was started just now. */
  constructor(
    leaderPid: number,
    marker: string,
    table: ProcessTable,
    clock: Clock,
    cgroup?: ExecCgroup,
  ) {
    this.#leaderPid = leaderPid;
    this.#marker = marker;
    this.#table = table;
    this.#clock = clock;
    this.#cgroup = cgroup;
    this.#startedMs = clock.now();
  }

  /** How many processes have gone that TERM or KILL to everything found alive, the leader included. */
  get endedCount(): number {
    return this.#ended.count();
  }

  /** Sends signals, in this order, at once; false when nobody was there. Who left the group in the
   * last few milliseconds may be missed: `terminate` and `kill` miss nobody. */
  signal(signals: readonly NodeJS.Signals[], reach: Reach): boolean {
    if (reach === "group") return sendAll(-this.#leaderPid, signals);
    return this.#signalAll(signals, this.#table.live({ sinceMs: this.#startedMs }));
  }

  /**
   * False when some of them still live after `limitMs`. Each look begins after its question: an older
   * one would miss who was forked since, and whose parent has gone.
   */
  async whenGone(
    reach: Reach,
    limitMs: number,
    { whileWaiting }: { whileWaiting?: (look: Look) => void } = {},
  ): Promise<boolean> {
    const untilMs = this.#clock.now() + limitMs;
    for (let pollMs = 1; ; pollMs = Math.min(MAX_POLL_MS, pollMs * 2)) {
      // This question is cheap, and mostly enough for the group: not even a zombie is left.
      if (reach === "group" && !send(-this.#leaderPid, 0)) return true;
      const look = await this.#table.next();
      if (!this.#isAlive(reach, look)) return true;
      if (this.#clock.now() >= untilMs) return false;
      whileWaiting?.(look);
      await sleep(pollMs, this.#clock, NEVER);
    }
  }

  /** TERM, a grace period, KILL until nothing is left. False when something outlived even that. */
  async terminate({ graceMs, killWaitMs }: TerminationLimits): Promise<boolean> {
    // A stopped process handles TERM only when it runs again.
    this.#signalAll(["SIGTERM", "SIGCONT"], await this.#table.next());
    return (await this.whenGone("everything", graceMs)) || this.kill(killWaitMs);
  }

  /** KILL, repeated: a process may have forked while we looked. False when something is left. */
  async kill(killWaitMs: number): Promise<boolean> {
    const killAll = (look: Look) => this.#signalAll(["SIGKILL"], look);
    killAll(await this.#table.next());
    return this.whenGone("everything", killWaitMs, { whileWaiting: killAll });
  }

  #isAlive(reach: Reach, look: Look): boolean {
    const groupIsAlive = look.some(({ groupId }) => groupId === this.#leaderPid);
    return groupIsAlive || (reach === "everything" && this.#members(look).length > 0);
  }

  #signalAll(signals: readonly NodeJS.Signals[], look: Look): boolean {
    const members = this.#members(look);
    if (signals.includes("SIGTERM") || signals.includes("SIGKILL")) {
      for (const member of members) this.#ended.add(member);
    }
    const strays = members.filter(({ groupId }) => groupId !== this.#leaderPid);
    const sent = [
      sendAll(-this.#leaderPid, signals),
      ...strays.map((stray) => stillLives(stray) && sendAll(stray.pid, signals)),
    ];
    if (signals.includes("SIGKILL")) this.#cgroup?.kill();
    return sent.includes(true);
  }

  #members(look: Look): ProcessEntry[] {
    const inCgroup = new Set(this.#cgroup?.pids());
    const members = look.filter(
      (each) =>
        inCgroup.delete(each.pid) ||
        each.groupId === this.#leaderPid ||
        each.sessionId === this.#leaderPid ||
        each.marker === this.#marker,
    );
    const forkedSince = [...inCgroup].flatMap((pid) => this.#table.find(pid) ?? []);
    return [...members, ...forkedSince];
  }
}

/** False when nobody was there. */
function sendAll(pid: number, signals: readonly NodeJS.Signals[]): boolean {
  return signals.map((signal) => send(pid, signal)).includes(true);
}

function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // it is there, as another user
  }
}
