// forms-table.ts: the same work and the same faults, by each way to run an exec: what a fault that ends an
// exec in one of them is in the others.
import type { ExecForm } from "../adapters/lab-config.ts";
import type { FaultKind } from "../faults/fault.ts";
import type { Summary } from "./summary.ts";
import { columns } from "./table.ts";

export interface WayOfForm {
  name: string;
  form: ExecForm;
  clientShare: number;
}

export const waysOfForms: readonly WayOfForm[] = [
  { name: "plain", form: "plain", clientShare: 0 },
  { name: "durable", form: "durable", clientShare: 0 },
  { name: "durable, by the client", form: "durable", clientShare: 1 },
];

export function formsTable(summaries: readonly Summary[]): string {
  return `${columns(formsRows(summaries)).join("\n")}\n\n${columns(errorRows(summaries)).join("\n")}\n`;
}

/**
 * Of the execs that no caller ended, how many were told their true exit, of how many; the others were told
 * an error. By kind: those that this fault touched and no other did. The last row has all that were touched.
 */
export function formsRows(summaries: readonly Summary[]): string[][] {
  const kinds = new Set(summaries.flatMap(({ faults }) => Object.keys(faults) as FaultKind[]));
  const cell = (ends: { completed: number; broken: number } | undefined) =>
    ends === undefined ? "–" : `${ends.completed} of ${ends.completed + ends.broken}`;
  return [
    ["fault", ...summaries.map(nameOf)],
    ...[...kinds]
      .toSorted()
      .map((kind) => [kind, ...summaries.map(({ faults }) => cell(faults[kind]))]),
    ["any, alone or not", ...summaries.map(({ touchedEnds }) => cell(touchedEnds))],
  ];
}

/** All errors of the run, however many faults there were. */
export function errorRows(summaries: readonly Summary[]): string[][] {
  const kinds = [...new Set(summaries.flatMap(({ errors }) => Object.keys(errors)))].toSorted();
  return [
    ["error / outcome", ...summaries.map(nameOf)],
    ...kinds.map((kind) => [kind, ...summaries.map(({ errors }) => String(errors[kind] ?? 0))]),
  ];
}

function nameOf({ form, clientShare }: Summary): string {
  const way = waysOfForms.find((one) => one.form === form && one.clientShare === clientShare);
  return way?.name ?? `${form}, ${clientShare}`;
}
