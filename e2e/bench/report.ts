// report.ts: the results as a table for people and as JSON for programs.
import type { Machine } from "./machine.ts";
import { floorText, verdictOf } from "./measure.ts";
import type { Row } from "./measure.ts";

/** What the measures found. */
export interface Findings {
  readonly rows: readonly Row[];
  /** Measures that could not be taken, and why. */
  readonly failures: readonly { readonly measure: string; readonly message: string }[];
  /** Why the OpenSSH column is empty. */
  readonly opensshMissing?: string;
}

export interface Results extends Findings {
  /** Of this form; goes up when a program that reads it would have to change. */
  readonly version: 1;
  readonly command: string;
  readonly startedAt: string;
  readonly tookSeconds: number;
  readonly machine: Machine;
  /** CPU time that others took meanwhile, of all cores. Well above 0, these figures are theirs too. */
  readonly neighboursCpuPercent: number;
}

export function toJson(results: Results): string {
  const rows = results.rows.map((row) => ({ ...row, verdict: verdictOf(row) }));
  return `${JSON.stringify({ ...results, rows }, null, 2)}\n`;
}

export function toText(results: Results): string {
  const { machine, opensshMissing, rows, failures } = results;
  return [
    `$ ${results.command}`,
    `${machine.cores} cores, ${machine.cpu}, Node ${machine.node}, Linux ${machine.kernel}`,
    `took ${results.tookSeconds.toFixed(0)} s; others used ${results.neighboursCpuPercent.toFixed(0)} % of the CPU meanwhile`,
    ...(opensshMissing === undefined ? [] : [`No OpenSSH to compare with: ${opensshMissing}.`]),
    "",
    ...table(rows),
    ...failures.map(({ measure, message }) => `\n${measure} FAILED: ${message}`),
  ].join("\n");
}

function table(rows: readonly Row[]): string[] {
  const verdicts = { ok: "ok", missed: "MISSED", none: "" };
  const lines = rows.map((row) => [
    row.label,
    `${round(row.value)} ${row.unit}`,
    row.floor === undefined ? "" : `${floorText(row.floor)} ${row.unit}`,
    verdicts[verdictOf(row)],
    row.openssh === undefined ? "" : `${round(row.openssh)} ${row.unit}`,
  ]);
  const all = [["measure", "value", "floor", "verdict", "OpenSSH"], ...lines];
  const widths = (all[0] ?? []).map((_, column) =>
    Math.max(...all.map((line) => line[column]?.length ?? 0)),
  );
  // Numbers to the right, words to the left.
  const isWords = (column: number): boolean => column === 0 || column === 3;
  const format = (line: string[]): string =>
    line
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return isWords(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = all;
  return [format(head), widths.map((width) => "─".repeat(width)).join("  "), ...body.map(format)];
}

/** Three digits that mean something, and no more zeros than needed. */
function round(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}
