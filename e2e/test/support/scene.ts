// scene.ts: one sandbox on a gateway that tests share: its puppet supervisor, the path between, and execs in it.
import { randomUUID } from "node:crypto";
import type { OpenShellClient } from "../../src/client.ts";
import { startExec } from "../../src/collect-exec.ts";
import type { CollectOptions, ExecRequestInit, RunningExec } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { startFaultProxy } from "../../src/fault-proxy.ts";
import type { FaultProxy } from "../../src/fault-proxy.ts";
import { serves } from "../../src/puppet-relays.ts";
import type { ExecBehaviour } from "../../src/puppet-ssh.ts";
import { startPuppet } from "../../src/puppet-supervisor.ts";
import type { PuppetOptions, PuppetSupervisor } from "../../src/puppet-supervisor.ts";
import { poll } from "../../src/wait.ts";
import { signToken } from "./own-tokens.ts";

/** A gateway alone: its supervisors are puppets, one per scene. */
export async function startGateway(
  gatewayArgs: readonly string[] = [],
  { proxied = false }: { proxied?: boolean } = {},
): Promise<Deployment> {
  return await startDeployment({ supervisors: 0, proxied, gatewayArgs });
}

export interface SceneOptions extends Partial<Omit<PuppetOptions, "token" | "sandboxId">> {
  /** A fault proxy between the puppet and the gateway. */
  proxied?: boolean;
  /** Short for `relays: serves(exec)`. */
  exec?: ExecBehaviour;
}

export class Scene implements AsyncDisposable {
  readonly sandboxId: string;
  readonly token: string;
  /** Every puppet that was this sandbox's supervisor, the latest last. */
  readonly puppets: PuppetSupervisor[] = [];
  readonly #gateway: Deployment;
  readonly #proxy: FaultProxy | undefined;

  constructor(gateway: Deployment, sandboxId: string, token: string, proxy?: FaultProxy) {
    this.#gateway = gateway;
    this.sandboxId = sandboxId;
    this.token = token;
    this.#proxy = proxy;
  }

  get puppet(): PuppetSupervisor {
    const puppet = this.puppets.at(-1);
    if (puppet === undefined) throw new Error("this sandbox has no supervisor yet");
    return puppet;
  }

  get proxy(): FaultProxy {
    if (this.#proxy === undefined) throw new Error("this scene is not proxied");
    return this.#proxy;
  }

  /** A supervisor connects; one that is there already is superseded. */
  async connect({ exec, ...options }: Omit<SceneOptions, "proxied"> = {}): Promise<void> {
    const puppet = await startPuppet({
      url: this.#proxy?.url ?? this.#gateway.gatewayUrl,
      token: this.token,
      sandboxId: this.sandboxId,
      ...(exec !== undefined && { relays: serves(exec) }),
      ...options,
    });
    this.puppets.push(puppet);
  }

  exec(
    client: OpenShellClient,
    request: Partial<Omit<ExecRequestInit, "$typeName" | "$unknown">> = {},
    options: CollectOptions = {},
  ): RunningExec {
    return startExec(
      client,
      { sandboxId: this.sandboxId, command: ["the-command"], ...request },
      { limitMs: 25_000, ...options },
    );
  }

  /** Resolves once the gateway has heard that so many commands of this sandbox were started. */
  async running(count = 1): Promise<void> {
    const { gateway } = this.#gateway;
    const started = (): number =>
      gateway.events("exec.started").filter(({ fields }) => fields["sandboxId"] === this.sandboxId)
        .length;
    await poll(`${count} started execs`, () => started() >= count, {
      everyMs: 5,
      detail: () => gateway.tail(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#proxy?.heal();
    await Promise.all(this.puppets.map((puppet) => puppet[Symbol.asyncDispose]()));
    await this.#proxy?.[Symbol.asyncDispose]();
  }
}

/** A sandbox that the gateway knows; its supervisor is connected. */
export async function startScene(gateway: Deployment, options: SceneOptions = {}): Promise<Scene> {
  const { proxied = false, ...puppet } = options;
  const scene = await emptyScene(gateway, { proxied });
  try {
    await scene.connect(puppet);
    return scene;
  } catch (error) {
    await scene[Symbol.asyncDispose]();
    throw error;
  }
}

/** A sandbox of which no supervisor has come yet: the gateway does not know it before one does. */
export async function emptyScene(
  gateway: Deployment,
  { proxied = false }: { proxied?: boolean } = {},
): Promise<Scene> {
  const sandboxId = randomUUID();
  const token = await signToken(gateway.dataDir, { sandboxId, sandboxName: `box-${sandboxId}` });
  const targetPort = Number(new URL(gateway.gatewayUrl).port);
  return new Scene(
    gateway,
    sandboxId,
    token,
    proxied ? await startFaultProxy({ targetPort }) : undefined,
  );
}
