// process-table.ts: what /proc says of the processes around us, read once for all who ask at a time.
import { readFileSync, readdirSync } from "node:fs";
import { sleep } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";

export interface ProcessEntry {
  readonly pid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** In ticks since the machine's start: tells a process from a later one with the same pid. */
  readonly startTime: string;
  /** The value of the marker variable that it was started with. Environments are inherited; groups
   * and sessions can be left. */
  readonly marker: string | undefined;
}

/** All processes that run or may run again: zombies have ended, only their parent has not looked. */
export type Look = readonly ProcessEntry[];

/** Between two looks: this, or so many times as long as the first of them took. In milliseconds. */
const MIN_BETWEEN_MS = 5;
const BETWEEN_PER_LOOK = 3;
/** A look that is due has a bound of its own, and nobody who would leave it earlier. */
const NEVER = new AbortController().signal;

/**
 * With hundreds of processes a look takes ten milliseconds, and hundreds of execs may be ended at the
 * same time, so looks are shared.
 */
export class ProcessTable {
  readonly #markerName: string;
  readonly #clock: Clock;
  readonly #read: () => Look;
  #last = { look: [] as Look, takenAtMs: -Infinity, nextAtMs: -Infinity };
  #next: Promise<Look> | undefined;

  /** @param read takes one look. */
  constructor(markerName: string, clock: Clock, read: () => Look = () => readAll(markerName)) {
    this.#markerName = markerName;
    this.#clock = clock;
    this.#read = read;
  }

  /**
   * A look of right now, or of a moment ago: what was forked since is missed.
   * @param sinceMs what the question is about was started then: an older look knows nothing of it.
   */
  live({ sinceMs }: { sinceMs: number }): Look {
    const { look, takenAtMs, nextAtMs } = this.#last;
    return takenAtMs >= sinceMs && this.#clock.now() <= nextAtMs ? look : this.#take();
  }

  /**
   * A look that begins after this call, and so knows everybody who lived at it: only such a look can
   * say that nobody is left. It is shared by all who ask before it begins, which is when the last one
   * is old enough: however many wait for an end, looks take at most a quarter of the time.
   */
  next(): Promise<Look> {
    this.#next ??= this.#takeNext();
    return this.#next;
  }

  /** One process, as it is now; `undefined`: it has ended. */
  find(pid: number): ProcessEntry | undefined {
    return readEntry(pid, this.#markerName);
  }

  async #takeNext(): Promise<Look> {
    await sleep(Math.max(0, this.#last.nextAtMs - this.#clock.now()), this.#clock, NEVER);
    this.#next = undefined;
    return this.#take();
  }

  #take(): Look {
    const takenAtMs = this.#clock.now();
    const look = this.#read();
    const doneMs = this.#clock.now();
    const betweenMs = Math.max(MIN_BETWEEN_MS, BETWEEN_PER_LOOK * (doneMs - takenAtMs));
    this.#last = { look, takenAtMs, nextAtMs: doneMs + betweenMs };
    return look;
  }
}

/** Whether that very process runs, now: its pid may be another's meanwhile. */
export function stillLives({ pid, startTime }: Pick<ProcessEntry, "pid" | "startTime">): boolean {
  return readStat(pid)?.startTime === startTime;
}

function readAll(markerName: string): ProcessEntry[] {
  return processIds().flatMap((pid) => readEntry(pid, markerName) ?? []);
}

function readEntry(pid: number, markerName: string): ProcessEntry | undefined {
  const stat = readStat(pid);
  return stat && new Entry(pid, stat, markerName);
}

type Stat = Pick<ProcessEntry, "groupId" | "sessionId" | "startTime">;

class Entry implements ProcessEntry {
  readonly pid: number;
  readonly groupId: number;
  readonly sessionId: number;
  readonly startTime: string;
  readonly #markerName: string;
  #marker: { readonly value: string | undefined } | undefined;

  constructor(pid: number, { groupId, sessionId, startTime }: Stat, markerName: string) {
    this.pid = pid;
    this.groupId = groupId;
    this.sessionId = sessionId;
    this.startTime = startTime;
    this.#markerName = markerName;
  }

  /** Read when it is asked for: mostly, the group is enough. */
  get marker(): string | undefined {
    this.#marker ??= { value: readMarker(this.pid, this.#markerName) };
    return this.#marker.value;
  }
}

/** `undefined`: there is no such process, or it has ended. */
function readStat(pid: number): Stat | undefined {
  // pid (comm) state ppid pgrp session …, where comm may hold anything, spaces and ")" included;
  // starttime is the 22nd (proc_pid_stat(5)).
  const stat = readProc(`/proc/${pid}/stat`)?.toString("latin1");
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ", 20);
  if (fields === undefined || fields[0] === "Z" || fields[0] === "X") return undefined;
  const [groupId, sessionId] = [Number(fields[2]), Number(fields[3])];
  return { groupId, sessionId, startTime: fields[19] ?? "" };
}

function readMarker(pid: number, name: string): string | undefined {
  const environment = readProc(`/proc/${pid}/environ`)?.toString("latin1");
  const prefix = `${name}=`;
  return environment
    ?.split("\0")
    .find((entry) => entry.startsWith(prefix))
    ?.slice(prefix.length);
}

function processIds(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return []; // no /proc: then only groups can be signalled
  }
}

function readProc(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined; // gone in between, or another user's
  }
}
