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
 * Of the execs that a fault of this kind touched, no other fault did and no caller ended: how many were told
 * their true exit, of how many. The others were told an error.
 */
export function formsRows(summaries: readonly Summary[]): string[][] {
  const kinds = [...new Set(summaries.flatMap(({ faults }) => Object.keys(faults) as FaultKind[]))];
  const cells = (ofKinds: readonly FaultKind[]) =>
    summaries.map(({ faults }) => {
      const all = ofKinds.flatMap((kind) => faults[kind] ?? []);
      const completed = all.reduce((sum, fault) => sum + fault.completed, 0);
      const broken = all.reduce((sum, fault) => sum + fault.broken, 0);
      return `${completed} of ${completed + broken}`;
    });
  return [
    ["fault", ...summaries.map(nameOf)],
    ...kinds.toSorted().map((kind) => [kind, ...cells([kind])]),
    ["all", ...cells(kinds)],
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
