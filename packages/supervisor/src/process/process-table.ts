// process-table.ts: what /proc says of the processes around us, read once for all who ask at a time.
import { readFileSync, readdirSync } from "node:fs";
import type { Clock } from "@belay/relay-core";

export interface ProcessEntry {
  readonly pid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** The value of the marker variable that it was started with. Environments are inherited; groups
   * and sessions can be left. */
  readonly marker: string | undefined;
}

/** A look may be shared for this long, or for so many times as long as it took. In milliseconds. */
const MIN_SHARED_MS = 5;
const SHARED_PER_LOOK = 3;

export class ProcessTable {
  readonly #markerName: string;
  readonly #clock: Clock;
  #last = { entries: [] as ProcessEntry[], takenAtMs: -Infinity, untilMs: -Infinity };

  constructor(markerName: string, clock: Clock) {
    this.#markerName = markerName;
    this.#clock = clock;
  }

  /**
   * Processes that run or may run again: zombies have ended, only their parent has not looked.
   *
   * With hundreds of processes a look takes ten milliseconds, and hundreds of execs may be ended at
   * the same time, so looks are shared. What was forked meanwhile is missed; its parent is not.
   * @param sinceMs what the question is about was started then: an older look knows nothing of it.
   */
  live({ sinceMs }: { sinceMs: number }): readonly ProcessEntry[] {
    const nowMs = this.#clock.now();
    if (this.#last.takenAtMs >= sinceMs && nowMs <= this.#last.untilMs) return this.#last.entries;
    const entries = readEntries(this.#markerName);
    const doneMs = this.#clock.now();
    const untilMs = doneMs + Math.max(MIN_SHARED_MS, SHARED_PER_LOOK * (doneMs - nowMs));
    this.#last = { entries, takenAtMs: nowMs, untilMs };
    return entries;
  }
}

function readEntries(markerName: string): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const pid of processIds()) {
    // pid (comm) state ppid pgrp session …, where comm may hold anything, spaces and ")" included.
    const stat = readProc(`/proc/${pid}/stat`)?.toString("latin1");
    const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ", 4);
    if (fields === undefined || fields[0] === "Z" || fields[0] === "X") continue;
    entries.push(new Entry(pid, Number(fields[2]), Number(fields[3]), markerName));
  }
  return entries;
}

class Entry implements ProcessEntry {
  readonly pid: number;
  readonly groupId: number;
  readonly sessionId: number;
  readonly #markerName: string;
  #marker: { readonly value: string | undefined } | undefined;

  constructor(pid: number, groupId: number, sessionId: number, markerName: string) {
    this.pid = pid;
    this.groupId = groupId;
    this.sessionId = sessionId;
    this.#markerName = markerName;
  }

  /** Read when it is asked for: mostly, the group is enough. */
  get marker(): string | undefined {
    this.#marker ??= { value: readMarker(this.pid, this.#markerName) };
    return this.#marker.value;
  }
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
