// forward-admission.ts: how many forwards may be open, and none once the gateway drains.
import { BelayError } from "@belay/protocol";
import type { GatewayLimits } from "../limits.ts";
import type { RelayTarget } from "../relays/relay.ts";
import type { SshSession } from "./ssh-sessions.ts";

export class ForwardAdmission {
  readonly #limits: GatewayLimits;
  /** Open forwards, by what they are counted under. */
  readonly #counts = new Map<string, number>();
  readonly #idle: (() => void)[] = [];
  #total = 0;
  #draining = false;

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  get open(): number {
    return this.#total;
  }

  /** From now on every forward is refused. */
  drain(): void {
    this.#draining = true;
  }

  /** @throws BelayError `gateway_draining` or `limit_exceeded`. */
  admit({ tokenHash, sandboxId }: SshSession, target: RelayTarget["case"]): Disposable {
    if (this.#draining) {
      throw new BelayError(
        "gateway_draining",
        "the gateway is shutting down and takes no new forwards",
      );
    }
    const { connectionsPerSshSession, sshPerSandbox, forwardsPerSandbox } = this.#limits;
    const ofToken = `token ${tokenHash}`;
    const ofSandbox = `${target} ${sandboxId}`;
    if (this.#count(ofToken) >= connectionsPerSshSession) {
      throw new BelayError("limit_exceeded", "SSH session connection limit reached");
    }
    if (this.#count(ofSandbox) >= (target === "ssh" ? sshPerSandbox : forwardsPerSandbox)) {
      throw new BelayError(
        "limit_exceeded",
        target === "ssh"
          ? "sandbox SSH connection limit reached"
          : "sandbox forward connection limit reached",
      );
    }
    this.#change(ofToken, 1);
    this.#change(ofSandbox, 1);
    this.#total += 1;
    return {
      [Symbol.dispose]: () => {
        this.#change(ofToken, -1);
        this.#change(ofSandbox, -1);
        this.#total -= 1;
        if (this.#total === 0) for (const resolve of this.#idle.splice(0)) resolve();
      },
    };
  }

  /** Resolves when none is open. */
  idle(): Promise<void> {
    if (this.#total === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #count(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  #change(name: string, by: number): void {
    const count = this.#count(name) + by;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}
