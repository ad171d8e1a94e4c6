// summary.ts: a run in numbers. Pure; what the table, the JSON and the plot are made of.
import type { Holdings } from "../adapters/adapter.ts";
import type { Backstop, ExecForm } from "../adapters/lab-config.ts";
import type { FaultKind, Strike } from "../faults/fault.ts";
import type { Finding, OracleCounts } from "../oracles/verdict.ts";
import { noCounts } from "../oracles/verdict.ts";
import type { ExecResult } from "../run/run-exec.ts";
import type { LabRun } from "../run/run-lab.ts";
import { labMsOfUptime } from "./clocks.ts";
import { upperBound95 } from "./rate-bound.ts";

export interface RunFacts {
  adapter: string;
  form: ExecForm;
  /** Part of the execs that went through @belay/client. */
  clientShare: number;
  seed: number;
  execs: number;
  sandboxes: number;
  lanes: number;
  without: Backstop[];
  /** Repeats the run. */
  command: string;
}

type TouchedEnd = "completed" | "broken";

export interface FaultSummary {
  injected: number;
  skipped: number;
  /** Execs that it was on the path of. */
  touched: number;
  /** Of those, that no other fault touched and no caller ended: told a true exit, or an error. */
  completed: number;
  broken: number;
  /** For those that no other fault touched: how long after the fault the caller knew. */
  noticeMs: number[];
}

export interface Failure {
  exec: number;
  work: string;
  findings: Finding[];
  rerun: string;
}

export interface Summary extends RunFacts {
  tookMs: number;
  parallelism: number;
  ended: Record<string, number>;
  work: Record<string, number>;
  oracles: OracleCounts;
  upperBounds95: OracleCounts;
  errors: Record<string, number>;
  bytesChecked: number;
  touchedExecs: number;
  /** Of those, that no caller ended: told a true exit, or an error. */
  touchedEnds: Record<TouchedEnd, number>;
  faults: Partial<Record<FaultKind, FaultSummary>>;
  failures: Failure[];
  leaks: Finding[];
  crashes: readonly string[];
  holdings: { before: Holdings[]; after: Holdings[] };
}

export function summarize(facts: RunFacts, run: LabRun): Summary {
  const { results, leaks } = run;
  const counts = noCounts();
  for (const { findings } of results)
    for (const oracle of new Set(findings.map((finding) => finding.oracle))) counts[oracle]++;
  counts.leak += leaks.length;
  const trials = results.length;
  const bounds = noCounts();
  for (const oracle of Object.keys(counts) as (keyof OracleCounts)[])
    bounds[oracle] = upperBound95(Math.min(counts[oracle], trials), trials);
  return {
    ...facts,
    execs: results.length,
    tookMs: Math.round(run.tookMs),
    parallelism: run.parallelism,
    ended: countBy(results, ({ view }) =>
      view.end.is === "exit" ? view.end.reason || "exited" : view.end.is,
    ),
    work: countBy(results, ({ exec }) => exec.work.kind),
    oracles: counts,
    upperBounds95: bounds,
    errors: countBy(results, ({ view: { end } }) =>
      end.is === "error" ? `${end.kind} / ${end.outcome ?? "none"}` : undefined,
    ),
    bytesChecked: results.reduce(
      (sum, { view: { streams } }) =>
        sum + streams.stdout.receivedBytes + streams.stderr.receivedBytes,
      0,
    ),
    touchedExecs: results.filter(({ strikes }) => strikes.length > 0).length,
    touchedEnds: {
      completed: 0,
      broken: 0,
      ...countBy(results, (one) => (one.strikes.length > 0 ? touchedEnd(one) : undefined)),
    },
    faults: summarizeFaults(run),
    failures: results
      .filter(({ findings }) => findings.length > 0)
      .map((one) => failureOf(one, facts)),
    leaks,
    crashes: run.crashes,
    holdings: { before: run.before, after: run.after },
  };
}

/** Whether the run kept the promise. */
export function isClean({ failures, leaks, crashes }: Summary): boolean {
  return failures.length + leaks.length + crashes.length === 0;
}

function failureOf(result: ExecResult, facts: RunFacts): Failure {
  const { exec, findings } = result;
  return { exec: exec.n, work: exec.work.kind, findings, rerun: rerunCommand(result, facts) };
}

/** Runs the exec alone, with what struck it, as far into it as it did. */
export function rerunCommand({ exec, strikes, view }: ExecResult, facts: RunFacts): string {
  const struck = strikes.map(
    ({ fault, startedMs }) => `${fault.id}@${Math.max(0, Math.round(startedMs - view.startedMs))}`,
  );
  const more = struck.length > 0 ? ` --strike ${struck.join(",")}` : "";
  return `${facts.command} --only ${exec.n}${more}`;
}

function summarizeFaults({ results, strikes }: LabRun): Partial<Record<FaultKind, FaultSummary>> {
  const faults: Partial<Record<FaultKind, FaultSummary>> = {};
  const of = (kind: FaultKind) =>
    (faults[kind] ??= {
      injected: 0,
      skipped: 0,
      touched: 0,
      completed: 0,
      broken: 0,
      noticeMs: [],
    });
  for (const { fault, skipped } of strikes)
    of(fault.kind)[skipped === undefined ? "injected" : "skipped"]++;
  for (const result of results) {
    const { view, strikes: touching } = result;
    for (const kind of new Set(touching.map(({ fault }) => fault.kind))) of(kind).touched++;
    const cause = causeOf(touching);
    const end = touchedEnd(result);
    if (cause === undefined || end === undefined) continue;
    of(cause.fault.kind)[end]++;
    if (end === "completed") continue;
    of(cause.fault.kind).noticeMs.push(Math.round(view.endedMs - struckMs(result, cause)));
  }
  return faults;
}

/** Undefined of what its caller ended, and of an exit at which something was found. */
function touchedEnd({ exec, view, findings }: ExecResult): TouchedEnd | undefined {
  const wished = exec.caller.cancelAfterMs !== undefined || exec.caller.deadlineMs !== undefined;
  if (view.end.is === "exit") return findings.length === 0 ? "completed" : undefined;
  return wished && view.end.is === "error" ? undefined : "broken";
}

/**
 * From when on its caller could have known: the fault, and after it the last output, as what was on its way
 * is delivered first. What is swallowed at the end of a command is swallowed when that ends.
 */
function struckMs({ view, recorded }: ExecResult, { fault, startedMs }: Strike): number {
  const atEnd = fault.kind === "close-swallowed" || fault.kind === "exit-status-swallowed";
  const commandEndMs = atEnd && recorded.end ? labMsOfUptime(recorded.end.atUptime) : 0;
  const fromMs = Math.max(startedMs, view.startedMs, view.lastMessageMs, commandEndMs);
  return Math.min(fromMs, view.endedMs);
}

/** With several, nobody can say which it was: then none is named, so that no time is blamed on the wrong one. */
function causeOf(touching: readonly Strike[]): Strike | undefined {
  return touching.length === 1 ? touching[0] : undefined;
}

export function countBy<T>(
  items: readonly T[],
  keyOf: (item: T) => string | undefined,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) {
    const key = keyOf(item);
    if (key !== undefined) counts[key] = (counts[key] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).sort(([, a], [, b]) => b - a));
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
