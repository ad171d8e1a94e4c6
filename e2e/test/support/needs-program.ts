// needs-program.ts: suites that drive programs which are not ours. Where one is absent they are skipped, and say so.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { beforeAll, describe, expect } from "vitest";

/** Where servers stand, which people's PATH often leaves out. */
const forServers = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

const said = new Set<string>();

/**
 * A suite that needs these programs. Without one it is skipped, with one visible line per program and test file; where
 * BELAY_REQUIRE_PROGRAMS=1 says that nothing may be skipped, it fails instead.
 */
export function describeWith(programs: readonly string[], name: string, suite: () => void): void {
  const absent = programs.filter((program) => findProgram(program) === undefined);
  for (const program of absent) {
    if (!said.has(program)) console.warn(`not run: needs ${program}`);
    said.add(program);
  }
  const required = process.env["BELAY_REQUIRE_PROGRAMS"] === "1";
  describe.skipIf(absent.length > 0 && !required)(`${name}`, () => {
    beforeAll(() => expect(absent, "programs that are required and absent").toEqual([]));
    suite();
  });
}

/** The program's file. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...forServers];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
