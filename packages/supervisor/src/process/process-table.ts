// process-table.ts: what /proc says of the processes around us.
import { readFileSync, readdirSync } from "node:fs";

export interface ProcessEntry {
  readonly pid: number;
  readonly groupId: number;
  readonly sessionId: number;
}

/** Processes that run or may run again: zombies have ended, only their parent has not looked. */
export function liveProcesses(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const pid of processIds()) {
    // pid (comm) state ppid pgrp session …, where comm may hold anything, spaces and ")" included.
    const stat = readProc(`/proc/${pid}/stat`)?.toString("latin1");
    const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ", 4);
    if (fields === undefined || fields[0] === "Z" || fields[0] === "X") continue;
    entries.push({ pid, groupId: Number(fields[2]), sessionId: Number(fields[3]) });
  }
  return entries;
}

/** Whether a process was started with this variable: environments are inherited, groups can be left. */
export function wasStartedWith(pid: number, name: string, value: string): boolean {
  const environment = readProc(`/proc/${pid}/environ`);
  if (environment === undefined) return false;
  const entry = `${name}=${value}\0`;
  return environment.indexOf(`\0${entry}`) >= 0 || environment.indexOf(entry) === 0;
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
