// belay-under-load.ts: what most measures run on: a gateway, its supervisors and a client, with nothing between them.
import type { DeploymentOptions, Deployment } from "../src/deployment.ts";
import { startDeployment } from "../src/deployment.ts";
import { LeanClient } from "./client/lean-client.ts";
import type { Work } from "./client/work.ts";

export class BelayUnderLoad implements AsyncDisposable {
  readonly deployment: Deployment;
  readonly client = new LeanClient();

  /** Every option of a program is at its default: measured is what a user gets, log lines included. */
  static async start(options: DeploymentOptions = {}): Promise<BelayUnderLoad> {
    return new BelayUnderLoad(await startDeployment({ ...options, proxied: false }));
  }

  private constructor(deployment: Deployment) {
    this.deployment = deployment;
  }

  /** An exec in the sandbox of the n-th supervisor. */
  exec(command: readonly string[], supervisorAt = 0): Work {
    const { sandboxId } = this.deployment.supervisor(supervisorAt);
    return { is: "exec", url: this.deployment.gatewayUrl, sandboxId, command };
  }

  /** The gateway's process id, then those of the supervisors. */
  get pids(): number[] {
    const { gateway, supervisors } = this.deployment;
    return [gateway.pid, ...supervisors.map(({ process }) => process.pid)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The client first: the execs that it holds are canceled, and the stop has none to wait for.
    await this.client[Symbol.asyncDispose]();
    await this.deployment[Symbol.asyncDispose]();
  }
}
