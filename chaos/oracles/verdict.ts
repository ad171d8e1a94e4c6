// verdict.ts: the oracles by name, and what they find.

/** Each has a count in the report; the promise is that all of them stay 0. */
export const oracles = [
  "hung",
  "lied",
  "lost bytes",
  "doubled bytes",
  "wrong bytes",
  "ran twice",
  "survivor",
  "leak",
  "false alarm",
  "error without outcome",
] as const;

export type Oracle = (typeof oracles)[number];

export interface Finding {
  oracle: Oracle;
  detail: string;
}

export type OracleCounts = Record<Oracle, number>;

export function noCounts(): OracleCounts {
  return Object.fromEntries(oracles.map((oracle) => [oracle, 0])) as OracleCounts;
}
