// exec-admission.ts: how many execs may run, or calls about them, and none once the gateway drains.
import { BelayError } from "@belay/protocol";
import type { GatewayLimits } from "../limits.ts";

export type AdmissionLimits = Pick<GatewayLimits, "execs" | "execsPerSandbox">;

export class ExecAdmission {
  readonly #limits: AdmissionLimits;
  readonly #what: string;
  readonly #running = new Map<string, number>();
  #total = 0;
  #draining = false;
  readonly #idle: (() => void)[] = [];

  /** @param what is admitted, as the errors say it. */
  constructor(limits: AdmissionLimits, what = "execs") {
    this.#limits = limits;
    this.#what = what;
  }

  get running(): number {
    return this.#total;
  }

  /** From now on every one is refused. */
  drain(): void {
    this.#draining = true;
  }

  /** @throws BelayError `gateway_draining` or `limit_exceeded`. */
  admit(sandboxId: string): Disposable {
    if (this.#draining) {
      throw new BelayError(
        "gateway_draining",
        `the gateway is shutting down and takes no new ${this.#what}`,
      );
    }
    const ofSandbox = this.#running.get(sandboxId) ?? 0;
    const { execs, execsPerSandbox } = this.#limits;
    if (ofSandbox >= execsPerSandbox) tooMany(execsPerSandbox, this.#what, "sandbox");
    if (this.#total >= execs) tooMany(execs, this.#what, "gateway");
    this.#total += 1;
    this.#running.set(sandboxId, ofSandbox + 1);
    return { [Symbol.dispose]: () => this.#release(sandboxId) };
  }

  #release(sandboxId: string): void {
    this.#total -= 1;
    const left = this.#running.get(sandboxId)! - 1;
    if (left === 0) this.#running.delete(sandboxId);
    else this.#running.set(sandboxId, left);
    if (this.#total === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when none runs. */
  idle(): Promise<void> {
    if (this.#total === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}

function tooMany(limit: number, what: string, of: string): never {
  throw new BelayError("limit_exceeded", `at most ${limit} ${what} run at once per ${of}`);
}
