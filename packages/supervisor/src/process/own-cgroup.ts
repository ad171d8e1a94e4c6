// own-cgroup.ts: the cgroup (v2) that the supervisor itself is in, and whether it may make others there.
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { pidsIn, readText, removeTree } from "./cgroup-tree.ts";

/** The files that say where it is. */
export interface CgroupSources {
  readonly mountInfo: string;
  readonly ownCgroups: string;
}

const SELF: CgroupSources = {
  mountInfo: "/proc/self/mountinfo",
  ownCgroups: "/proc/self/cgroup",
};

/** Its directory. Only one that lists us is ours: with namespaces and bind mounts, paths may lie. */
export function findOwnCgroup({ mountInfo, ownCgroups } = SELF): string | undefined {
  const ownPath = /^0::(\/.*)$/m.exec(readText(ownCgroups))?.[1];
  if (ownPath === undefined) return undefined;
  return readText(mountInfo)
    .split("\n")
    .flatMap((line) => cgroup2Mount(line) ?? [])
    .map(({ root, mountPoint }) => join(mountPoint, relative(root, ownPath)))
    .find((dir) => pidsIn(dir).includes(process.pid));
}

/** id parent major:minor root mountpoint options … - fstype source options (proc_pid_mountinfo(5)). */
function cgroup2Mount(line: string): { root: string; mountPoint: string } | undefined {
  const fields = line.split(" ");
  const [root, mountPoint] = [fields[3], fields[4]];
  if (fields[fields.indexOf("-") + 1] !== "cgroup2" || !root || !mountPoint) return undefined;
  return { root: decodeOctal(root), mountPoint: decodeOctal(mountPoint) };
}

function decodeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCodePoint(Number.parseInt(octal, 8)),
  );
}

/**
 * Makes a cgroup below `dir` and removes it again. To move a process, both cgroups and their common
 * ancestor have to be writable, and `dir` is two of them.
 * @returns when that was, by the file system's own clock; `undefined`: it is not possible.
 */
export function probe(dir: string, name: string): number | undefined {
  const child = join(dir, name);
  try {
    accessSync(join(dir, "cgroup.procs"), constants.W_OK);
    mkdirSync(child);
  } catch {
    return undefined;
  }
  // Below a threaded cgroup, a new one takes no processes.
  const isDomain = readText(join(child, "cgroup.type")).trim() === "domain";
  const nowMs = madeAtMs(child);
  return removeTree(child) && isDomain ? nowMs : undefined;
}

export function madeAtMs(dir: string): number {
  return statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
}
