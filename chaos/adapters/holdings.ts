// holdings.ts: what a process holds: as the kernel counts it, and as the process itself says when asked.
import { readdir, readFile, readlink } from "node:fs/promises";
import { poll } from "@belay/e2e";
import type { BelayProcess } from "@belay/e2e";
import type { Holdings } from "./adapter.ts";

interface Report {
  rssBytes: number;
  liveBytes: number;
  resources: Record<string, number>;
  lagMs: { p99: number; max: number };
}

/** @param reportFile where the process writes its own report; it was asked for it just now. */
export async function holdingsOf(
  name: string,
  process: BelayProcess,
  reportFile: string,
): Promise<Holdings> {
  const { fds, sockets } = await descriptorsOf(process.pid);
  const report = await poll(`the report of ${name}`, () => readReport(reportFile), {
    limitMs: 15_000,
    everyMs: 30,
  });
  return {
    name,
    rssBytes: report.rssBytes,
    liveBytes: report.liveBytes,
    fds,
    sockets,
    resources: report.resources,
    lagMaxMs: Math.round(report.lagMs.max),
  };
}

/** Whether the process has a handler for that signal. */
export async function catches(pid: number, signal: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const mask = /^SigCgt:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

export async function descriptorsOf(pid: number): Promise<{ fds: number; sockets: number }> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  const targets = await Promise.all(
    names.map((name) => readlink(`${folder}/${name}`).catch(() => "")),
  );
  return { fds: names.length, sockets: targets.filter((to) => to.startsWith("socket:")).length };
}

async function readReport(file: string): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Report;
  } catch {
    return undefined; // not there yet, or not whole
  }
}
