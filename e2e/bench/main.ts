// `npm run bench`: how fast Belay is and what it costs, on this machine, as a table and as JSON.
import { writeFile } from "node:fs/promises";
import { startTimer } from "../src/wait.ts";
import { describeMachine, watchNeighbours } from "./machine.ts";
import { verdictOf } from "./measure.ts";
import type { Row } from "./measure.ts";
import { measures } from "./measures/all.ts";
import { startOpenssh } from "./openssh/openssh.ts";
import { readOptions } from "./options.ts";
import type { BenchOptions } from "./options.ts";
import { toJson, toText } from "./report.ts";
import type { Findings, Results } from "./report.ts";

/** After so long nothing new is begun and what runs is given up; the clean-up comes on top. */
const limitMs = { quick: 50_000, full: 280_000 };

const args = process.argv.slice(2);
const options = readOptions(
  args,
  measures.map(({ name }) => name),
);
if ("text" in options) {
  console.error(options.text);
  process.exitCode = options.exitCode;
} else {
  await bench(options);
}

async function bench(options: BenchOptions): Promise<void> {
  const startedAt = new Date();
  const neighbours = await watchNeighbours();
  const findings = await takeMeasures(options);
  const results: Results = {
    version: 1,
    command: ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
    startedAt: startedAt.toISOString(),
    tookSeconds: (Date.now() - startedAt.getTime()) / 1_000,
    machine: describeMachine(),
    neighboursCpuPercent: await neighbours.cpuPercent(),
    ...findings,
  };
  await writeFile(options.jsonFile, toJson(results));
  console.log(`\n${toText(results)}\n\nResults: ${options.jsonFile}`);

  const hasMissed = results.rows.some((row) => verdictOf(row) === "missed");
  if (results.failures.length > 0 || (options.check && hasMissed)) process.exitCode = 1;
}

/** Everything that it started has ended when it resolves. */
async function takeMeasures({ only, quick }: BenchOptions): Promise<Findings> {
  using stop = stopAfter(quick ? limitMs.quick : limitMs.full);
  const rows: Row[] = [];
  const failures: { measure: string; message: string }[] = [];
  const openssh = await startOpenssh();
  await using shared = "missing" in openssh ? undefined : openssh;
  for (const measure of measures.filter(({ name }) => only.has(name))) {
    try {
      stop.signal.throwIfAborted();
      console.error(`measuring: ${measure.name}`);
      rows.push(...(await measure.run({ quick, openssh: shared, signal: stop.signal })));
    } catch (error) {
      // The other measures are worth having all the same.
      const message = error instanceof Error ? error.message : String(error);
      failures.push({ measure: measure.name, message });
    }
  }
  return { rows, failures, ...("missing" in openssh && { opensshMissing: openssh.missing }) };
}

/** Aborts at the limit and at a stop signal, so that every measure cleans up behind itself. */
function stopAfter(ms: number): Disposable & { signal: AbortSignal } {
  const stop = new AbortController();
  const timer = startTimer(ms, () => stop.abort(new Error(`out of time, after ${ms / 1_000} s`)));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // Stays for good: one Ctrl-C may reach us more than once, and the clean-up is bounded anyway.
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  }
  return { signal: stop.signal, [Symbol.dispose]: () => timer.cancel() };
}
