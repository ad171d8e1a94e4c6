// measure.ts: what a measure is, what it finds, and how a value is judged against its floor.
import type { Openssh } from "./openssh/openssh.ts";

/** One experiment on a Belay of its own, so that no measure sees what another left behind. */
export interface Measure {
  /** What --only calls it. */
  readonly name: string;
  /** Takes the measure and cleans up behind itself, also when it fails. Ends soon after `signal` is aborted. */
  run(context: MeasureContext): Promise<Row[]>;
}

export interface MeasureContext {
  readonly quick: boolean;
  /** undefined where it is not installed: its column stays empty. */
  readonly openssh: Openssh | undefined;
  readonly signal: AbortSignal;
}

/** The worst value that is good enough. */
export type Floor = { readonly atMost: number } | { readonly atLeast: number };

export interface Row {
  /** Dotted, stable: what a program that compares two results goes by. */
  readonly id: string;
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  readonly floor?: Floor;
  /** The same through OpenSSH with a shared connection, where that has a meaning. */
  readonly openssh?: number | undefined;
}

export type Verdict = "ok" | "missed" | "none";

export function verdictOf({ value, floor }: Row): Verdict {
  if (floor === undefined) return "none";
  // Written so that a value that is no number misses, whatever the floor.
  const holds = "atMost" in floor ? value <= floor.atMost : value >= floor.atLeast;
  return holds ? "ok" : "missed";
}

export function floorText(floor: Floor): string {
  return "atMost" in floor ? `≤ ${floor.atMost}` : `≥ ${floor.atLeast}`;
}
