// process-scan.ts: which processes of the lab's work live, as /proc tells it: all of them in one look,
// shared by everyone who wants to know.
import { readdirSync, readFileSync } from "node:fs";
import { execVariable } from "../work/markers.ts";

/** A look is good for so long. */
const freshMs = 150;

let looked: { atMs: number; byExec: ReadonlyMap<string, number[]> } | undefined;

/**
 * Live processes (no zombies) of an exec's work, grandchildren in groups of their own included.
 * @param exec its marker.
 */
export function livePids(exec: string, { fresh = false } = {}): number[] {
  const nowMs = performance.now();
  if (looked === undefined || fresh || nowMs - looked.atMs > freshMs)
    looked = { atMs: nowMs, byExec: scan() };
  return looked.byExec.get(exec) ?? [];
}

function scan(): Map<string, number[]> {
  const byExec = new Map<string, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const exec = execOf(pid);
    if (exec === undefined) continue;
    const pids = byExec.get(exec);
    if (pids === undefined) byExec.set(exec, [pid]);
    else pids.push(pid);
  }
  return byExec;
}

function execOf(pid: number): string | undefined {
  try {
    const environ = readFileSync(`/proc/${pid}/environ`, "latin1");
    const at = environ.indexOf(`${execVariable}=`);
    if (at < 0 || (at > 0 && environ[at - 1] !== "\0")) return undefined;
    const exec = environ.slice(at + execVariable.length + 1).split("\0", 1)[0] ?? "";
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const state = stat[stat.lastIndexOf(")") + 2];
    return state === "Z" || state === "X" ? undefined : exec;
  } catch {
    return undefined; // it ended while we looked, or is not ours
  }
}
