// table.ts: a run's summary for people.
import { oracles } from "../oracles/verdict.ts";
import { quantile } from "./summary.ts";
import type { Summary } from "./summary.ts";

export function runTable(summary: Summary): string {
  const { adapter, form, clientShare, execs, sandboxes, seed, without, tookMs } = summary;
  const how = `${form} form, ${clientShare * 100} % through the client`;
  const off = without.length > 0 ? `, without ${without.join(", ")}` : "";
  const lines = [
    `${adapter}${adapter === "belay" ? ` (${how})` : ""}: ${execs} execs on ${sandboxes} sandboxes, seed ${seed}${off}: ${(tookMs / 1_000).toFixed(0)} s on ${summary.parallelism} cores`,
    `${summary.touchedExecs} execs had a fault on their path; ${(summary.bytesChecked / 1e6).toFixed(1)} MB of output checked byte by byte`,
    "",
    ...columns([
      ["oracle", "execs", "95 % bound"],
      ...oracles.map((oracle) => [
        oracle,
        String(summary.oracles[oracle]),
        oracle === "leak" ? "" : `< ${(summary.upperBounds95[oracle] * 100).toFixed(3)} %`,
      ]),
    ]),
    "",
    ...columns([["ended", "execs"], ...entries(summary.ended)]),
    "",
    ...columns([["error / outcome", "execs"], ...entries(summary.errors)]),
    "",
    ...columns(faultRows(summary)),
  ];
  for (const crash of summary.crashes) lines.push(`crashed: ${crash}`);
  for (const { oracle, detail } of summary.leaks) lines.push(`${oracle}: ${detail}`);
  return `${lines.join("\n")}\n`;
}

/** Milliseconds until the caller knew, per fault, over the execs that it alone had struck and ended. */
export function faultRows(summary: Summary): string[][] {
  const rows = Object.entries(summary.faults)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([kind, { injected, touched, completed, broken, noticeMs }]) => [
      kind,
      ...[injected, touched, completed, broken].map(String),
      ...[0.5, 0.95, 1].map((q) => (noticeMs.length > 0 ? `${quantile(noticeMs, q)}` : "–")),
    ]);
  const head = ["fault", "injected", "touched", "completed", "ended", "p50 ms", "p95 ms", "max ms"];
  return [head, ...rows];
}

function entries(counts: Record<string, number>): string[][] {
  return Object.entries(counts).map(([key, count]) => [key, String(count)]);
}

/** The first column to the left, the others, being numbers, to the right. */
export function columns(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => (row[at] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
