// `npm start`: a gateway and a supervisor as real processes, one exec through them, and how to call them yourself.
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { ChildProgram } from "./child-program.ts";
import { runFirstExec } from "./first-exec.ts";
import { howToCall } from "./how-to-call.ts";

const root = join(import.meta.dirname, "..");
const gatewayScript = join(root, "packages/gateway/dist/belay-gateway.mjs");
const supervisorScript = join(root, "packages/supervisor/dist/belay-supervisor.mjs");
const host = "127.0.0.1";
const defaultPort = "17670";
const sandboxName = "local";
const readyLimitMs = 15_000;
/** One Ctrl-C may reach us twice, from the terminal and from npm; a second one takes a person longer than this. */
const sameStopMs = 500;

const stop = new AbortController();
const stopAtOnce = new AbortController();
listenForStops();

try {
  await main();
} catch (error) {
  if (!stop.signal.aborted) {
    console.error(`\nnpm start: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

async function main(): Promise<void> {
  const port = readPort();
  const url = `http://${host}:${port}`;
  await assertFree(port);
  // One folder per port, so that two of these do not share a data folder.
  const folder = join(root, ".belay", String(port));
  await mkdir(folder, { recursive: true, mode: 0o700 });

  await using gateway = ChildProgram.start({
    name: "gateway",
    args: [gatewayScript, "serve", "--listen", `${host}:${port}`, "--data-dir", folder],
    logFile: join(folder, "gateway.log"),
    stopAtOnce: stopAtOnce.signal,
  });
  await gateway.waitFor("gateway.ready", { limitMs: readyLimitMs, signal: stop.signal });

  const tokenFile = join(folder, `${sandboxName}.token`);
  await writeToken(tokenFile, folder);
  // Declared last, so stopped first: the gateway then has no session to wait for.
  await using supervisor = ChildProgram.start({
    name: "supervisor",
    args: [supervisorScript, "run", "--gateway", url, "--token-file", tokenFile],
    logFile: join(folder, "supervisor.log"),
    stopAtOnce: stopAtOnce.signal,
  });
  const ready = { limitMs: readyLimitMs, signal: stop.signal };
  const { sandboxId } = await supervisor.waitFor("supervisor.ready", ready);
  if (typeof sandboxId !== "string") throw new Error("supervisor.ready named no sandboxId");

  console.log(`\nBelay is up at ${url} with the sandbox "${sandboxName}" (id ${sandboxId}).`);
  console.log(`Logs: ${gateway.logFile}\n      ${supervisor.logFile}\n`);
  await runFirstExec(url, sandboxId, stop.signal);
  console.log(howToCall({ url, sandboxId, sandboxName }));
  console.log("Ctrl-C stops both programs.");

  const stopped = new Promise<void>((resolve) => {
    if (stop.signal.aborted) resolve();
    stop.signal.addEventListener("abort", () => resolve());
  });
  await Promise.race([stopped, gateway.failsWhenItEnds, supervisor.failsWhenItEnds]);
  console.log("\nStopping … (Ctrl-C again stops at once)");
}

function readPort(): number {
  const { values } = parseArgs({ options: { port: { type: "string" } } });
  const text = values.port ?? (process.env["BELAY_PORT"] || defaultPort);
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) {
    throw new Error(`--port must be a number from 1 to 65535, not ${JSON.stringify(text)}`);
  }
  return port;
}

async function assertFree(port: number): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once("error", reject).listen(port, host, resolve);
    });
  } catch (error) {
    const other = `choose another port: npm start -- --port ${port < 65_535 ? port + 1 : 1024}`;
    throw new Error(
      `port ${port} on ${host} cannot be used: ${error instanceof Error ? error.message : ""}\n` +
        `Stop the program that has it (another \`npm start\`?), or ${other}`,
      { cause: error },
    );
  }
  await new Promise((resolve) => probe.close(resolve));
}

/** The token goes into a file that only we can read, never into an argument that `ps` shows to everybody. */
async function writeToken(tokenFile: string, dataFolder: string): Promise<void> {
  const args = [gatewayScript, "token", "--sandbox", sandboxName, "--data-dir", dataFolder];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: readyLimitMs });
  await rm(tokenFile, { force: true }); // the mode below counts for a new file only
  await writeFile(tokenFile, stdout, { mode: 0o600 });
}

function listenForStops(): void {
  let firstAtMs: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      firstAtMs ??= performance.now();
      stop.abort();
      if (performance.now() - firstAtMs > sameStopMs) stopAtOnce.abort();
    });
  }
}
