// deployment.ts: a whole Belay on loopback: one gateway, its supervisors, and a fault proxy on every path between them and to clients.
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BelayProcess } from "./belay-process.ts";
import type { ProcessExit } from "./belay-process.ts";
import { connectToGateway } from "@belay/client/node";
import type { NodeClientOptions } from "@belay/client/node";
import { execServiceClient, openshellClient } from "./client.ts";
import type { ClientOptions, ExecServiceClient, OpenShellClient } from "./client.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { DeployedSupervisor } from "./deployed-supervisor.ts";
import type { Env } from "./deployed-supervisor.ts";
import { killMarked } from "./processes.ts";
import { mintToken } from "./sandbox-token.ts";
import type { SandboxToken } from "./sandbox-token.ts";

export interface DeploymentOptions {
  /** Supervisors, each in a sandbox of its own, named sandbox-1 and so on. Defaults to 1. */
  supervisors?: number;
  /** Whether a fault proxy stands on each path. Defaults to true. */
  proxied?: boolean;
  gatewayArgs?: readonly string[];
  supervisorArgs?: readonly string[];
  gatewayEnv?: Env;
  supervisorEnv?: Env;
  /** Other programs than the built ones: an older version, or a stub. */
  gatewayScript?: string;
  supervisorScript?: string;
  /** The test's context: when the test fails, the last log lines of every process are printed. */
  test?: { onTestFailed(report: () => void): void };
}

export interface SupervisorOptions {
  /** The sandbox's name. A name that is there already means a second supervisor for the same sandbox. */
  name: string;
  args?: readonly string[];
  env?: Env;
}

export const builtGateway = fileURLToPath(
  new URL("../../packages/gateway/dist/belay-gateway.mjs", import.meta.url),
);
const builtSupervisor = fileURLToPath(
  new URL("../../packages/supervisor/dist/belay-supervisor.mjs", import.meta.url),
);

/** Resolves when the gateway listens and every supervisor has its session. */
export async function startDeployment(options: DeploymentOptions = {}): Promise<Deployment> {
  const deployment = new Deployment(options, await mkdtemp(join(tmpdir(), "belay-e2e-")));
  options.test?.onTestFailed(() => console.error(deployment.dump()));
  try {
    await deployment.start();
    return deployment;
  } catch (error) {
    await deployment[Symbol.asyncDispose]();
    throw error;
  }
}

export class Deployment implements AsyncDisposable {
  /** Temporary, gone at the end. */
  readonly folder: string;
  readonly dataDir: string;
  /** `NAME=value` in the environment of every process of this deployment; see processes.ts. */
  readonly marker: string;
  readonly supervisors: DeployedSupervisor[] = [];
  readonly #options: DeploymentOptions;
  readonly #markerEnv: Record<string, string>;
  readonly #cleanUp = new AsyncDisposableStack();
  /** Every gateway that ran, the current one last. */
  readonly #gateways: BelayProcess[] = [];
  readonly #gatewayScript: string;
  readonly #clients: Disposable[] = [];
  #port = 0;
  #clientProxy: FaultProxy | undefined;

  constructor(options: DeploymentOptions, folder: string) {
    this.#options = options;
    this.#gatewayScript = options.gatewayScript ?? builtGateway;
    this.folder = folder;
    this.dataDir = join(folder, "gateway");
    this.#markerEnv = { BELAY_E2E_RUN: randomUUID() };
    this.marker = `BELAY_E2E_RUN=${this.#markerEnv["BELAY_E2E_RUN"]}`;
    this.#cleanUp.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    this.#cleanUp.defer(async () => void (await killMarked({ env: this.marker })));
  }

  /** Called by startDeployment. */
  async start(): Promise<void> {
    await mkdir(this.dataDir, { mode: 0o700 });
    const names = Array.from(
      { length: this.#options.supervisors ?? 1 },
      (_, at) => `sandbox-${at + 1}`,
    );
    // The gateway is first: of two programs that make the data directory's key at once, one loses time.
    await this.startGateway();
    if (this.proxied)
      this.#clientProxy = this.#cleanUp.use(await startFaultProxy({ targetPort: this.#port }));
    const started = await Promise.allSettled(names.map((name) => this.addSupervisor({ name })));
    for (const one of started) if (one.status === "rejected") throw one.reason;
    this.supervisors.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
  }

  get proxied(): boolean {
    return this.#options.proxied !== false;
  }

  /** The gateway process now; after a restart, another. */
  get gateway(): BelayProcess {
    const gateway = this.#gateways.at(-1);
    if (gateway === undefined) throw new Error("no gateway was started");
    return gateway;
  }

  /** The gateway itself, past every proxy. */
  get gatewayUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What a client calls: the client path's proxy, or the gateway when not proxied. */
  get clientUrl(): string {
    return this.#clientProxy?.url ?? this.gatewayUrl;
  }

  get clientProxy(): FaultProxy {
    if (this.#clientProxy === undefined) throw new Error("this deployment is not proxied");
    return this.#clientProxy;
  }

  /** The only supervisor, or the n-th, counted from 0. */
  supervisor(at = 0): DeployedSupervisor {
    const supervisor = this.supervisors[at];
    if (supervisor === undefined) throw new Error(`there is no supervisor ${at}`);
    return supervisor;
  }

  /** A client over the client path. It ends with the deployment, or when disposed. */
  client(options?: ClientOptions): OpenShellClient {
    return this.#keep(openshellClient(this.clientUrl, options));
  }

  /** As `client()`, of ExecService. */
  execClient(options?: ClientOptions): ExecServiceClient {
    return this.#keep(execServiceClient(this.clientUrl, options));
  }

  /** As `client()`, of @belay/client: it goes on over whatever way there is. */
  belayClient(options: Omit<NodeClientOptions, "url"> = {}): ReturnType<typeof connectToGateway> {
    return this.#keep(connectToGateway({ ...options, url: this.clientUrl }));
  }

  /** A token for a sandbox of that name, for a puppet or a supervisor of one's own. */
  async token(name: string): Promise<SandboxToken> {
    return await mintToken({
      gatewayScript: this.#gatewayScript,
      dataDir: this.dataDir,
      name,
      folder: this.folder,
    });
  }

  async addSupervisor(options: SupervisorOptions): Promise<DeployedSupervisor> {
    const token = await this.token(options.name);
    const proxy = this.proxied
      ? this.#cleanUp.use(await startFaultProxy({ targetPort: this.#port }))
      : undefined;
    const home = await mkdtemp(join(this.folder, `${options.name}-`));
    const supervisor = new DeployedSupervisor({
      script: this.#options.supervisorScript ?? builtSupervisor,
      token,
      proxy,
      home,
      gatewayUrl: () => proxy?.url ?? this.gatewayUrl,
      args: [...(this.#options.supervisorArgs ?? []), ...(options.args ?? [])],
      env: { ...this.#options.supervisorEnv, ...options.env, ...this.#markerEnv },
    });
    this.supervisors.push(supervisor);
    await supervisor.start();
    return supervisor;
  }

  /** Starts a gateway on the same data directory and leads every proxy to it. */
  async startGateway(): Promise<void> {
    // Without proxies, whoever is to reconnect knows the old port only.
    const port = this.proxied ? 0 : this.#port;
    const gateway = new BelayProcess({
      name: `gateway-${this.#gateways.length + 1}`,
      script: this.#gatewayScript,
      args: [
        "serve",
        "--listen",
        `127.0.0.1:${port}`,
        "--data-dir",
        this.dataDir,
        ...(this.#options.gatewayArgs ?? []),
      ],
      env: { ...this.#options.gatewayEnv, ...this.#markerEnv },
      cwd: this.folder,
    });
    this.#gateways.push(gateway);
    const ready = await gateway.waitForEvent("gateway.ready");
    this.#port = Number(new URL(String(ready.fields["url"])).port);
    this.#clientProxy?.retarget(this.#port);
    for (const { proxy } of this.supervisors) proxy?.retarget(this.#port);
  }

  /** Ends the gateway and waits for its end. SIGTERM is a drain, SIGKILL a crash. */
  async stopGateway(signal: NodeJS.Signals = "SIGTERM"): Promise<ProcessExit> {
    this.gateway.kill(signal);
    return await this.gateway.ended();
  }

  async restartGateway(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.stopGateway(signal);
    await this.startGateway();
  }

  /** No fault on any path. */
  heal(): void {
    this.#clientProxy?.heal();
    for (const { proxy } of this.supervisors) proxy?.heal();
  }

  /** The last log lines of every process that ran. */
  dump(lines = 40): string {
    const all = [...this.#gateways, ...this.supervisors.flatMap(({ processes }) => processes)];
    return all.map((one) => one.tail(lines)).join("\n");
  }

  #keep<T extends Disposable>(client: T): T {
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Neither a fault nor a call that a failed test left open may make the orderly stop slow.
    for (const client of this.#clients) client[Symbol.dispose]();
    this.heal();
    await Promise.all(this.supervisors.map((supervisor) => supervisor[Symbol.asyncDispose]()));
    await Promise.all(this.#gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
    await this.#cleanUp.disposeAsync();
  }
}
