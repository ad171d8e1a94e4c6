// cgroup-tree.ts: cgroups (v2) as what they are: directories, and files that the kernel answers from.
import { readFileSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

/** Those of other pid namespaces are listed as 0. */
export function pidsIn(dir: string): number[] {
  return numbersIn(readText(join(dir, "cgroup.procs")));
}

/** With all that are below it, parents first. */
export function withDescendants(dir: string): string[] {
  return [dir, ...childrenOf(dir).flatMap((name) => withDescendants(join(dir, name)))];
}

/** The names of the cgroups right below. */
export function childrenOf(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

/** False where processes live in it. */
export function removeTree(dir: string): boolean {
  try {
    if (/^populated 1$/m.test(readText(join(dir, "cgroup.events")))) return false;
    for (const each of withDescendants(dir).toReversed()) rmdirSync(each);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

/** Empty where there is none, or none for us. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The numbers in such a file, without 0. */
export function numbersIn(text: string): number[] {
  return text.split(/\s/).map(Number).filter(Boolean);
}
