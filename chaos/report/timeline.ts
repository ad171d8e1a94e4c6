// timeline.ts: what happened to one exec, in order: its call, the faults, what each side logged.
import type { LogEntry } from "../adapters/adapter.ts";
import type { ExecResult } from "../run/run-exec.ts";
import { labMsOfUptime, wallClockOf } from "./clocks.ts";
import { rerunCommand } from "./summary.ts";
import type { RunFacts } from "./summary.ts";

interface Moment {
  /** Milliseconds after the call. */
  atMs: number;
  from: string;
  text: string;
}

/** @param facts of the run, where it can be run again. */
export function timeline(result: ExecResult, logs: readonly LogEntry[], facts?: RunFacts): string {
  const { exec, view, strikes, recorded, findings } = result;
  const { startedMs, endedMs, lastMessageMs, streams } = view;
  const received = `stdout ${streams.stdout.receivedBytes}, stderr ${streams.stderr.receivedBytes}`;
  const moments: Moment[] = [
    {
      atMs: 0,
      from: "lab",
      text: `call: ${JSON.stringify(exec.work)} ${JSON.stringify(exec.caller)}`,
    },
    { atMs: endedMs - startedMs, from: "caller", text: `end: ${JSON.stringify(view.end)}` },
    {
      atMs: lastMessageMs - startedMs,
      from: "caller",
      text: `last message; bytes so far: ${received}`,
    },
    ...strikes.flatMap(({ fault, sandbox, startedMs: struckMs, wellMs, notes }): Moment[] => {
      const { id, exec: _exec, afterMs: _afterMs, ...what } = fault;
      const where = sandbox === undefined ? "everyone" : `sandbox ${sandbox}`;
      const note = notes.length > 0 ? ` (${notes.join("; ")})` : "";
      const begin = { from: "fault", text: `${id} on ${where}: ${JSON.stringify(what)}${note}` };
      const end = { from: "fault", text: `${id} is over, the path is well` };
      return [
        { atMs: struckMs - startedMs, ...begin },
        ...(wellMs === undefined ? [] : [{ atMs: wellMs - startedMs, ...end }]),
      ];
    }),
    ...recordedMoments(result),
    ...logs.map(({ atMs, from, text }) => ({ atMs: atMs - wallClockOf(startedMs), from, text })),
  ];
  const lines = moments
    .toSorted((a, b) => a.atMs - b.atMs)
    .map(
      ({ atMs, from, text }) =>
        `  ${String(Math.round(atMs)).padStart(7)} ms  ${from.padEnd(10)} ${text}`,
    );
  return [
    `exec ${exec.n}${facts ? ` of seed ${facts.seed}` : ""} (${exec.work.kind}, sandbox ${exec.sandbox}):`,
    ...findings.map(({ oracle, detail }) => `  ${oracle.toUpperCase()}: ${detail}`),
    ...lines,
    `  process: ${JSON.stringify({ starts: recorded.starts.length, end: recorded.end ?? null, heardTerm: recorded.heardTerm })}`,
    ...(facts ? [`  alone: ${rerunCommand(result, facts)}`] : []),
  ].join("\n");
}

function recordedMoments({ recorded, view }: ExecResult): Moment[] {
  const at = (uptime: number) => labMsOfUptime(uptime) - view.startedMs;
  const moments = recorded.starts.map(({ pid, atUptime }) => ({
    atMs: at(atUptime),
    from: "process",
    text: `starts, pid ${pid}`,
  }));
  const { end } = recorded;
  if (end === undefined) return moments;
  const how = end.is === "exit" ? `exits with ${end.exitCode}` : `dies by ${end.signal}`;
  return [...moments, { atMs: at(end.atUptime), from: "process", text: how }];
}
