// side-files.ts: what the work itself wrote down, read back: the truth that everything else is held against.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface ProcessStart {
  pid: number;
  /** Seconds since boot. */
  atUptime: number;
  /** The kernel's start time of that pid, so that a pid that was used again is not taken for it. */
  startTicks: string;
}

/** What the process was about to do when all its output was written. */
export type RecordedEnd = { is: "exit"; exitCode: number } | { is: "signal"; signal: string };

export interface RecordedExec {
  /** More than one: it ran twice. */
  starts: ProcessStart[];
  end?: RecordedEnd & {
    written: { stdout: number; stderr: number };
    stdinBytes: number;
    atUptime: number;
  };
  /** TERM reached it. */
  heardTerm: boolean;
  /** Children that it left behind on purpose. */
  leftBehind: number[];
}

export async function readSideFiles(folder: string): Promise<RecordedExec> {
  const recorded: RecordedExec = { starts: [], heardTerm: false, leftBehind: [] };
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const lines = await completeLines(join(folder, name));
    const [what] = name.split(".", 1);
    if (what === "start") {
      // A file that is there and empty is a start as well: it was made before its line was written.
      if (lines.length === 0) recorded.starts.push(emptyStart(name));
      for (const line of lines) recorded.starts.push(parseStart(line));
    } else if (what === "end" && lines[0] !== undefined) recorded.end = parseEnd(lines[0]);
    else if (what === "term") recorded.heardTerm = true;
    else if (what === "left") recorded.leftBehind.push(Number(name.slice("left.".length)));
  }
  return recorded;
}

/** A line is one write, and so is there as a whole or not at all. */
async function completeLines(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").slice(0, -1);
}

function emptyStart(name: string): ProcessStart {
  return { pid: Number(name.slice("start.".length)), atUptime: Number.NaN, startTicks: "" };
}

/** `start PID UPTIME` and then /proc/PID/stat from the state on: field 22 of stat is the start time. */
export function parseStart(line: string): ProcessStart {
  const [, pid, atUptime, ...stat] = line.split(" ");
  return { pid: Number(pid), atUptime: Number(atUptime), startTicks: stat[19] ?? "" };
}

/** `exit CODE` or `signal NAME`, then bytes of stdout, stderr and stdin, and the time. */
export function parseEnd(line: string): NonNullable<RecordedExec["end"]> {
  const [is, what = "", stdout, stderr, stdin, atUptime] = line.split(" ");
  const rest = {
    written: { stdout: Number(stdout), stderr: Number(stderr) },
    stdinBytes: Number(stdin),
    atUptime: Number(atUptime),
  };
  return is === "signal"
    ? { is: "signal", signal: what, ...rest }
    : { is: "exit", exitCode: Number(what), ...rest };
}
