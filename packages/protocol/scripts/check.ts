// Fails when the generated code is stale, or when a change of the .proto files
// breaks the wire (or its JSON form) for programs built against the baseline.
//
// After a change that is meant:  pnpm --filter @belay/protocol generate
// After a release:               pnpm --filter @belay/protocol baseline
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const committedDir = "src/gen";
const workDir = mkdtempSync(join(tmpdir(), "belay-gen-"));
const freshDir = join(workDir, "gen");

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .toSorted();
}

function buf(...args: string[]): void {
  execFileSync("buf", args, { stdio: ["ignore", "inherit", "inherit"] });
}

function staleFiles(): string[] {
  const all = new Set([...filesUnder(committedDir), ...filesUnder(freshDir)]);
  return [...all].filter((file) => {
    try {
      const committed = readFileSync(join(committedDir, file));
      return !committed.equals(readFileSync(join(freshDir, file)));
    } catch {
      return true; // in one of the two only
    }
  });
}

try {
  buf("lint");
  const template = readFileSync("buf.gen.yaml", "utf8").replace("out: src/gen", `out: ${freshDir}`);
  writeFileSync(join(workDir, "buf.gen.yaml"), template);
  buf("generate", "--template", join(workDir, "buf.gen.yaml"));
  const stale = staleFiles();
  if (stale.length > 0) {
    console.error(`generated code is stale: ${stale.join(", ")}`);
    console.error("run: pnpm --filter @belay/protocol generate");
    process.exitCode = 1;
  }
  buf("breaking", "--against", "baseline.binpb");
} finally {
  rmSync(workDir, { recursive: true });
}
