// What the preloaded module says of a process, against a process of which all is known.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { poll } from "@belay/e2e";
import { expect, it } from "vitest";
import { catches } from "../adapters/holdings.ts";

const preload = fileURLToPath(new URL("../faults/preload.mjs", import.meta.url));

/**
 * Runs it with the module, and asks it what it holds.
 * @param options.fds leaves it no more descriptors than so many while it is asked.
 */
async function reportOf(program: string, options: { fds?: number } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "belay-chaos-test-"));
  const [commands, file] = [join(folder, "commands"), join(folder, "report.json")];
  const child = spawn(process.execPath, [`--import=${preload}`, "--eval", program], {
    env: { ...process.env, BELAY_CHAOS_COMMANDS: commands },
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const pid = child.pid ?? Number.NaN;
    await poll("the program's own word", () => catches(pid, constants.signals.SIGHUP));
    await writeFile(commands, `${JSON.stringify({ op: "report", file, for: pid })}\n`);
    const asked = once(child.stdout, "data");
    if (options.fds !== undefined) await limitDescriptors(pid, options.fds);
    child.kill("SIGUSR2");
    await asked;
    if (options.fds !== undefined) await limitDescriptors(pid, 1_024);
    const report = await poll("the report", async () => {
      const text = await readFile(file, "utf8").catch(() => "");
      return text.endsWith("}") && text;
    });
    return JSON.parse(report) as { resources: Record<string, number>; liveBytes: number };
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}

async function limitDescriptors(pid: number, to: number): Promise<void> {
  await promisify(execFile)("prlimit", ["--pid", String(pid), `--nofile=${to}:`]);
}

/** The program has done what it is for, stays until it is ended, and says when the module was asked. */
const stay = `
  process.on("SIGHUP", () => {});
  process.on("SIGUSR2", () => process.stdout.write("asked"));
  process.stdin.resume();
`;

it("counts each timer that waits, also those that keep no process alive", async () => {
  const { resources } = await reportOf(`
    setTimeout(() => {}, 1e6);
    setTimeout(() => {}, 1e6).unref();
    clearTimeout(setTimeout(() => {}, 1e6));
    setTimeout(() => { ${stay} }, 1);
  `);
  expect(resources["Timeout"]).toBe(2);
});

it("counts memory that something refers to, and not what is only not yet collected", async () => {
  const { liveBytes } = await reportOf(`
    globalThis.kept = Buffer.alloc(32e6);
    globalThis.dropped = Buffer.alloc(64e6);
    delete globalThis.dropped;
    globalThis.objects = Array.from({ length: 1e5 }, (_, at) => ({ at }));
    delete globalThis.objects;
    ${stay}
  `);
  expect(liveBytes).toBeGreaterThan(32e6);
  expect(liveBytes).toBeLessThan(64e6);
});

it("answers when there are descriptors again", async () => {
  const { resources } = await reportOf(`setTimeout(() => {}, 1e6); ${stay}`, { fds: 4 });
  expect(resources["Timeout"]).toBe(1);
});
