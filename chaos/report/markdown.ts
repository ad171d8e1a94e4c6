// markdown.ts: a run's result, or that of --compare-forms, as the tables of docs/reliability.md:
//   node chaos/report/markdown.ts RESULT.json
import { readFile } from "node:fs/promises";
import { oracles } from "../oracles/verdict.ts";
import { errorRows, formsRows } from "./forms-table.ts";
import type { Summary } from "./summary.ts";
import { faultRows } from "./table.ts";

export function markdown(summary: Summary): string {
  const percent = (rate: number) => `${(rate * 100).toFixed(3)} %`;
  return [
    table([
      ["oracle", "execs", "95 % bound of the rate"],
      ...oracles.map((oracle) => [
        oracle,
        String(summary.oracles[oracle]),
        oracle === "leak" ? "" : `< ${percent(summary.upperBounds95[oracle])}`,
      ]),
    ]),
    table([["ended", "execs"], ...counts(summary.ended)]),
    table([["error / outcome", "execs"], ...counts(summary.errors)]),
    table(faultRows(summary)),
  ].join("\n");
}

export function formsMarkdown(summaries: readonly Summary[]): string {
  return [table(formsRows(summaries)), table(errorRows(summaries))].join("\n");
}

function counts(of: Record<string, number>): string[][] {
  return Object.entries(of).map(([key, count]) => [key, String(count)]);
}

function table([head = [], ...body]: string[][]): string {
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, at) => (at === 0 ? "---" : "--:"));
  return `${[head, rule, ...body].map(row).join("\n")}\n`;
}

if (import.meta.main) {
  const [from] = process.argv.slice(2);
  if (from === undefined) throw new Error("usage: markdown.ts RESULT.json");
  const result = JSON.parse(await readFile(from, "utf8")) as Summary | Summary[];
  console.log(Array.isArray(result) ? formsMarkdown(result) : markdown(result));
}
