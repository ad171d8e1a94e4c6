// `npm start`, `npm test`, `npm run bench`, `chaos` and `soak`: installs what the lockfile names, then runs the task on Node 24.
// Plain JavaScript without dependencies, because it runs on whichever Node is there and before anything is installed.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const binFolder = join(root, "node_modules", ".bin");
const stampFile = join(root, "node_modules", ".belay-installed");

const turbo = (...args) => [join(binFolder, "turbo"), "run", "--output-logs=new-only", ...args];
const node = (...args) => [join(binFolder, "node"), ...args];

/** What each task runs, one after the other; `extra` is what the caller wrote after `--`. */
const tasks = {
  start: (extra) => [turbo("build"), node("scripts/start.ts", ...extra)],
  test: (extra) => {
    // A filter that fits no file of one package is no failure of that package.
    const vitestArgs = extra.length > 0 ? ["--", "--passWithNoTests", ...extra] : [];
    return [
      turbo("--continue", "lint", "types", "check", "build"),
      // Two at a time: each runs its files in parallel already.
      turbo(
        "--continue",
        "--concurrency=2",
        "test",
        "--filter=!@belay/e2e",
        "--filter=!@belay/chaos",
        ...vitestArgs,
      ),
      // Alone, because these tests are about time: a busy machine would make them lie.
      turbo("test", "--filter=@belay/e2e", ...vitestArgs),
      turbo("test", "--filter=@belay/chaos", ...vitestArgs),
    ];
  },
  bench: (extra) => [turbo("bench", ...(extra.length > 0 ? ["--", ...extra] : []))],
  chaos: (extra) => [turbo("build"), node("chaos/main.ts", ...extra)],
  soak: (extra) => [turbo("build"), node("chaos/soak.ts", ...extra)],
};

// A stop that reaches us is passed on, and we wait: what we started must be able to end in order.
let running;
let stoppedBy;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stoppedBy = signal;
    running?.kill(signal);
  });
}

const [name, ...rest] = process.argv.slice(2);
const stepsOf = Object.hasOwn(tasks, name ?? "") ? tasks[name] : undefined;
if (!stepsOf) giveUp(`Usage: node scripts/run.mjs ${Object.keys(tasks).join("|")} [-- ...]`, 2);
const steps = stepsOf(rest[0] === "--" ? rest.slice(1) : rest);

await install();
for (const step of steps) await run(step);

/** Skipped when nothing that it reads has changed since it last succeeded here. */
async function install() {
  const fingerprint = fingerprintOfInstall();
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === fingerprint) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  console.error(`Installing with ${packageManager} (first run, or the lockfile has changed) …`);
  await run(["npx", "--yes", packageManager, "install", "--frozen-lockfile"]);
  if (!existsSync(join(binFolder, "node"))) {
    giveUp(
      "The install brought no Node 24 (npm package `node`): remove node_modules and try again.",
    );
  }
  writeFileSync(stampFile, fingerprint);
}

function fingerprintOfInstall() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  const folders = readdirSync(join(root, "packages")).map((folder) => join("packages", folder));
  const manifests = [".", "e2e", "chaos", "scripts", ...folders].map((f) =>
    join(f, "package.json"),
  );
  for (const file of ["pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests]) {
    const path = join(root, file);
    if (existsSync(path)) hash.update(file).update(readFileSync(path));
  }
  return hash.digest("hex");
}

/** Resolves when the command has succeeded; ends this program with the command's own code when not. */
async function run([command, ...args]) {
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1" };
  env.PATH = binFolder + delimiter + (env.PATH ?? "");
  running = spawn(command, args, { cwd: root, stdio: "inherit", env });
  const { exitCode, error } = await new Promise((resolve) => {
    running.once("error", (error) => resolve({ exitCode: 127, error }));
    running.once("exit", (code, signal) => {
      resolve({ exitCode: code ?? 128 + constants.signals[signal] });
    });
  });
  running = undefined;
  const shown = [command.replace(root, ""), ...args].join(" ");
  if (error) giveUp(`Cannot run ${shown}: ${error.message}`, exitCode);
  if (stoppedBy)
    process.exit(exitCode || (name === "start" ? 0 : 128 + constants.signals[stoppedBy]));
  if (exitCode !== 0)
    giveUp(`npm run ${name} failed: \`${shown}\` exited with ${exitCode}.`, exitCode);
}

function giveUp(message, exitCode = 1) {
  console.error(`\n${message}`);
  process.exit(exitCode);
}
