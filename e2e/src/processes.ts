// processes.ts: who is still alive on this machine, as /proc tells it. For "nothing was left behind".
import { readdir, readFile } from "node:fs/promises";
import { poll } from "./wait.ts";

export interface LiveProcess {
  pid: number;
  parentPid: number;
  groupId: number;
  /** One letter of /proc/<pid>/stat. Never Z or X here. */
  state: string;
  argv: string[];
}

export interface ProcessMarker {
  /** `NAME` or `NAME=value` in the environment the process was started with. */
  env?: string;
  /** A substring of any argument. */
  argv?: string;
}

/** Live processes (no zombies, not this one) that carry every given marker. */
export async function findProcesses(marker: ProcessMarker): Promise<LiveProcess[]> {
  if (marker.env === undefined && marker.argv === undefined)
    throw new Error("a marker is required");
  const names = await readdir("/proc");
  const pids = names.map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const found = await Promise.all(pids.map((pid) => lookAt(pid, marker)));
  return found.filter((one) => one !== undefined);
}

/**
 * Waits until no live process carries the marker.
 * @param limitMs Defaults to 10_000.
 */
export async function waitUntilNoneLeft(marker: ProcessMarker, limitMs = 10_000): Promise<void> {
  let left: LiveProcess[] = [];
  const none = async (): Promise<boolean> => {
    left = await findProcesses(marker);
    return left.length === 0;
  };
  await poll("the last marked process to end", none, { limitMs, detail: () => describe(left) });
}

/** Waits until at least `count` live processes carry the marker. */
export async function waitForProcesses(
  marker: ProcessMarker,
  count = 1,
  limitMs = 10_000,
): Promise<LiveProcess[]> {
  const enough = async (): Promise<LiveProcess[] | undefined> => {
    const found = await findProcesses(marker);
    return found.length >= count ? found : undefined;
  };
  return await poll(`${count} marked processes`, enough, { limitMs });
}

/** Kills, by id, each process that carries the marker. For clean-up after a test that failed. */
export async function killMarked(marker: ProcessMarker): Promise<number> {
  const found = await findProcesses(marker);
  for (const { pid } of found) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Ended by itself since we looked.
    }
  }
  return found.length;
}

async function lookAt(pid: number, marker: ProcessMarker): Promise<LiveProcess | undefined> {
  try {
    if (
      marker.env !== undefined &&
      !hasEntry(await readFile(`/proc/${pid}/environ`, "utf8"), marker.env)
    )
      return undefined;
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
    const argvMarker = marker.argv;
    if (argvMarker !== undefined && !argv.some((argument) => argument.includes(argvMarker)))
      return undefined;
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may itself hold spaces and parentheses, so count from the last one.
    const [state = "", parentPid, groupId] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    return { pid, parentPid: Number(parentPid), groupId: Number(groupId), state, argv };
  } catch {
    // It ended while we looked, or it belongs to someone else.
    return undefined;
  }
}

function hasEntry(environ: string, wanted: string): boolean {
  const entries = environ.split("\0");
  return wanted.includes("=")
    ? entries.includes(wanted)
    : entries.some((entry) => entry.startsWith(`${wanted}=`));
}

function describe(left: LiveProcess[]): string {
  return left
    .map(
      (one) =>
        `  pid ${one.pid} (parent ${one.parentPid}, group ${one.groupId}, ${one.state}) ${one.argv.join(" ")}`,
    )
    .join("\n");
}
