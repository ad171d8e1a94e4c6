// markers.ts: variables in the environment of all work, by which /proc shows whose a process is.
import { randomBytes } from "node:crypto";

/** Of this run of the lab: another one on the same machine has another. */
const runId = randomBytes(6).toString("hex");

export const execVariable = "CHAOS_EXEC";
const boxVariable = "CHAOS_BOX";

export function markers(exec: { n: number; sandbox: number }): Record<string, string> {
  return { [execVariable]: `${runId}.${exec.n}`, [boxVariable]: `${runId}.${exec.sandbox}` };
}

/** `NAME=value` as in the environment of every process of that sandbox's work. */
export function boxMarker(sandbox: number): string {
  return `${boxVariable}=${runId}.${sandbox}`;
}

/** The exec's number, when the value is one of this run. */
export function execOfMarker(value: string): number | undefined {
  const [run, n] = value.split(".");
  return run === runId ? Number(n) : undefined;
}
