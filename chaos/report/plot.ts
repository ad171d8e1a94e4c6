// plot.ts: the distribution of "how long after the fault the caller knew", per fault, as an SVG: one dot
// for each exec that the fault ended, on a logarithmic axis. Also a program:
//   node chaos/report/plot.ts RESULT.json OUT.svg
import { readFile, writeFile } from "node:fs/promises";
import { Random } from "../work/random.ts";
import { quantile } from "./summary.ts";
import type { Summary } from "./summary.ts";

type Faults = Pick<Summary, "faults">;

const width = 860;
const left = 190;
const right = 30;
const rowHeight = 30;
const top = 46;
const [minMs, maxMs] = [1, 30_000];
const ticksMs = [1, 10, 100, 1_000, 10_000];

export function plot(summaries: readonly Faults[]): string {
  const byKind = new Map<string, number[]>();
  for (const { faults } of summaries)
    for (const [kind, { noticeMs }] of Object.entries(faults))
      byKind.set(kind, [...(byKind.get(kind) ?? []), ...noticeMs]);
  const rows = [...byKind]
    .filter(([, values]) => values.length > 0)
    .sort(([a], [b]) => a.localeCompare(b));
  const height = top + rows.length * rowHeight + 44;
  const bottom = height - 40;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(
      left,
      24,
      "How long after a fault the caller of an exec that it ended knew (each dot an exec, bar at the median)",
    ),
    ...ticksMs.flatMap((ms) => [
      line(xOf(ms), top - 6, xOf(ms), bottom, "#dddddd"),
      text(xOf(ms), bottom + 18, ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`, "middle"),
    ]),
    ...rows.flatMap(([kind, values], row) =>
      plotRow(kind, values, top + row * rowHeight + rowHeight / 2),
    ),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

function plotRow(kind: string, values: number[], y: number): string[] {
  // Spread so that dots do not hide each other; by a seed, so that the same result gives the same file.
  const random = new Random(1, kind);
  const dots = values.map((ms) => {
    const at = y + (random.unit() - 0.5) * rowHeight * 0.6;
    return `<circle cx="${xOf(ms).toFixed(1)}" cy="${at.toFixed(1)}" r="2.2" fill="#2563eb" fill-opacity="0.45"/>`;
  });
  const median = xOf(quantile(values, 0.5));
  return [
    text(left - 10, y + 4, `${kind} (${values.length})`, "end"),
    ...dots,
    line(median, y - rowHeight * 0.38, median, y + rowHeight * 0.38, "#b91c1c", 2),
  ];
}

function xOf(ms: number): number {
  const share = Math.log(Math.min(maxMs, Math.max(minMs, ms)) / minMs) / Math.log(maxMs / minMs);
  return left + share * (width - left - right);
}

function text(x: number, y: number, content: string, anchor = "start"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222222">${content}</text>`;
}

function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  color: string,
  strokeWidth = 1,
): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${color}" stroke-width="${strokeWidth}"/>`;
}

if (import.meta.main) {
  const [from, to] = process.argv.slice(2);
  if (from === undefined || to === undefined) throw new Error("usage: plot.ts RESULT.json OUT.svg");
  await writeFile(to, plot([JSON.parse(await readFile(from, "utf8")) as Summary]));
}
