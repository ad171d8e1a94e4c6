// Bundles a deployable package into the one file that its "bin" names: `node scripts/bundle.ts packages/gateway`.
import { chmod, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { build } from "esbuild";

interface Manifest {
  name: string;
  bin: Record<string, string>;
}

const packageFolder = resolve(process.argv[2] ?? ".");
const manifest = JSON.parse(
  await readFile(join(packageFolder, "package.json"), "utf8"),
) as Manifest;
const [program] = Object.entries(manifest.bin);
if (!program) throw new Error(`${manifest.name} has no "bin": there is nothing to bundle`);
const [programName, outfile] = program;

// CommonJS dependencies (ssh2, pino) ask for these, which an ES module does not have.
const commonJsNames = `
import { createRequire as belayCreateRequire } from "node:module";
import { dirname as belayDirname } from "node:path";
import { fileURLToPath as belayFileURLToPath } from "node:url";
const require = belayCreateRequire(import.meta.url);
const __filename = belayFileURLToPath(import.meta.url);
const __dirname = belayDirname(__filename);
`;

const { metafile } = await build({
  absWorkingDir: packageFolder,
  entryPoints: ["src/main.ts"],
  outfile,
  bundle: true,
  platform: "node",
  target: "node24",
  // Node 24 has `using`; what esbuild makes of it throws, in a loop, the error of an earlier turn again.
  supported: { using: true },
  format: "esm",
  sourcemap: "linked",
  metafile: true,
  banner: { js: commonJsNames.trim() },
  // node-pty ships native files of its own; the others are optional parts of ssh2 that it does without.
  external: ["@lydell/node-pty", "cpu-features", "*.node"],
  logLevel: "warning",
});

// ssh2 tells a session from a channel by the name of its class, and a bundler renames what collides.
// `keepNames` would keep all names, at a fifth of the memory of each exec.
const hasSsh2 = Object.keys(metafile.inputs).some((input) => input.includes("node_modules/ssh2/"));
const code = await readFile(resolve(packageFolder, outfile), "utf8");
if (hasSsh2 && !/\bSession = class extends/.test(code)) {
  throw new Error("ssh2's class Session was renamed: is one of ours named so too?");
}
await chmod(resolve(packageFolder, outfile), 0o755);

const bytes =
  metafile.outputs[relative(packageFolder, resolve(packageFolder, outfile))]?.bytes ?? 0;
console.log(`${programName}: ${outfile}, ${Math.round(bytes / 1024)} KiB`);
