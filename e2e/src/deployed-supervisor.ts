// deployed-supervisor.ts: one supervisor of a deployment: its token, its path to the gateway, and its processes over time.
import { BelayProcess } from "./belay-process.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import type { SandboxToken } from "./sandbox-token.ts";

export type Env = Readonly<Record<string, string | undefined>>;

export interface DeployedSupervisorOptions {
  script: string;
  token: SandboxToken;
  proxy: FaultProxy | undefined;
  home: string;
  gatewayUrl: () => string;
  args: readonly string[];
  env: Env;
}

export class DeployedSupervisor implements AsyncDisposable {
  readonly name: string;
  readonly sandboxId: string;
  /** On the path from this supervisor to the gateway; undefined when not proxied. */
  readonly proxy: FaultProxy | undefined;
  /** The supervisor's working directory. */
  readonly home: string;
  /** Every process that ran as this supervisor, the current one last. */
  readonly processes: BelayProcess[] = [];
  readonly #options: DeployedSupervisorOptions;

  constructor(options: DeployedSupervisorOptions) {
    this.name = options.token.name;
    this.sandboxId = options.token.sandboxId;
    this.proxy = options.proxy;
    this.home = options.home;
    this.#options = options;
  }

  get process(): BelayProcess {
    const process = this.processes.at(-1);
    if (process === undefined) throw new Error(`${this.name} was not started`);
    return process;
  }

  /** The proxy of a proxied deployment. */
  get faults(): FaultProxy {
    if (this.proxy === undefined) throw new Error("this deployment is not proxied");
    return this.proxy;
  }

  /** Resolves when it has its session. */
  async start(): Promise<void> {
    const { script, token, gatewayUrl, args, env, home } = this.#options;
    const process = new BelayProcess({
      name: `${this.name}/supervisor-${this.processes.length + 1}`,
      script,
      args: ["run", "--gateway", gatewayUrl(), "--token-file", token.file, ...args],
      env,
      cwd: home,
    });
    this.processes.push(process);
    await process.waitForEvent("supervisor.ready");
  }

  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.process.kill(signal);
    await this.process.ended();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.processes.map((process) => process[Symbol.asyncDispose]()));
  }
}
