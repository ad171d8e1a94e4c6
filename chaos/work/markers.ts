// markers.ts: variables in the environment of all work, by which /proc shows whose a process is.
import { randomBytes } from "node:crypto";

export const execVariable = "CHAOS_EXEC";
const boxVariable = "CHAOS_BOX";

/** Of one system: another one, of this lab or of another on the same machine, has execs of the same numbers. */
export class Markers {
  readonly #id = randomBytes(6).toString("hex");

  environment(exec: { n: number; sandbox: number }): Record<string, string> {
    return {
      [execVariable]: this.ofExec(exec),
      [boxVariable]: `${this.#id}.${exec.sandbox}`,
    };
  }

  /** The value of `execVariable` in every process of that exec's work. */
  ofExec({ n }: { n: number }): string {
    return `${this.#id}.${n}`;
  }

  /** `NAME=value` as in the environment of every process of that sandbox's work. */
  ofBox(sandbox: number): string {
    return `${boxVariable}=${this.#id}.${sandbox}`;
  }
}
