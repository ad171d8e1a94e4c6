// processes.ts: which of a command's processes live, found by something that only they carry.
import { readFileSync, readdirSync } from "node:fs";

/** Pids whose command line holds the text; zombies have none. */
export function pidsOf(text: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(text);
      } catch {
        return false;
      }
    });
}

let nextMark = 0;

/** A number that makes the `sleep` of one test unlike any other process, in seconds. */
export function uniqueSleep(): string {
  nextMark += 1;
  return `${3_000 + process.pid}.${String(nextMark).padStart(5, "0")}`;
}
