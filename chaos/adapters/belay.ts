// belay.ts: Belay as the lab drives it: one gateway, many supervisors, each real, each path with a fault proxy.
import { appendFile, mkdir } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { poll, startDeployment, startFaultProxy } from "@belay/e2e";
import type { BelayProcess, Deployment, DeployedSupervisor, FaultProxy, LogLine } from "@belay/e2e";
import type { Fault, FaultKind } from "../faults/fault.ts";
import { Markers } from "../work/markers.ts";
import type { Adapter, Call, CallInit, Holdings, LogEntry } from "./adapter.ts";
import { BelayCall } from "./belay-call.ts";
import { ClientCall } from "./client-call.ts";
import { strikeBelay } from "./belay-strikes.ts";
import { catches, holdingsOf } from "./holdings.ts";
import { gatewayArgs, supervisorArgs } from "./lab-config.ts";
import type { Backstop, LabConfig } from "./lab-config.ts";
import { readySandboxes } from "./ready-sandboxes.ts";

export interface BelayOptions {
  sandboxes: number;
  config: LabConfig;
  without: ReadonlySet<Backstop>;
  /** Called now and then while it starts. */
  onProgress?: (text: string) => void;
}

/** Started together, or asked together for what they hold; more only wait for each other's processor time. */
const processesAtOnce = 4;
const { SIGUSR2 } = constants.signals;
const preload = fileURLToPath(new URL("../faults/preload.mjs", import.meta.url));

export async function startBelay(options: BelayOptions): Promise<BelayAdapter> {
  const commands = "commands-gateway";
  const deployment = await startDeployment({
    supervisors: 0,
    gatewayArgs: gatewayArgs(options.config, options.without),
    supervisorArgs: supervisorArgs(options.config, options.without),
    gatewayEnv: preloadEnv(commands),
  });
  const adapter = new BelayAdapter(deployment, options);
  try {
    await adapter.start();
    return adapter;
  } catch (error) {
    await adapter[Symbol.asyncDispose]();
    throw error;
  }
}

/** Relative: every process has a working directory of its own in the deployment's folder. */
function preloadEnv(commandFile: string): Record<string, string> {
  return { NODE_OPTIONS: `--import=${preload}`, BELAY_CHAOS_COMMANDS: commandFile };
}

export class BelayAdapter implements Adapter {
  readonly name = "belay";
  readonly markers = new Markers();
  readonly deployment: Deployment;
  readonly config: LabConfig;
  readonly sandboxes: number;
  readonly crashes: string[] = [];
  readonly #options: BelayOptions;
  readonly #clientProxies: FaultProxy[] = [];
  /** By sandbox: that of the deployment is by time of start. */
  readonly #supervisors: DeployedSupervisor[] = [];
  #gatewayRestarting: Promise<void> | undefined;
  readonly #replacing = new Set<number>();
  #reports = 0;

  constructor(deployment: Deployment, options: BelayOptions) {
    this.deployment = deployment;
    this.config = options.config;
    this.sandboxes = options.sandboxes;
    this.#options = options;
  }

  async start(): Promise<void> {
    for (const batch of batches(Array.from({ length: this.sandboxes }, (_, at) => at))) {
      await Promise.all(batch.map((sandbox) => this.#startSandbox(sandbox)));
      this.#options.onProgress?.(`${this.#supervisors.length} supervisors are up`);
    }
  }

  async #startSandbox(sandbox: number): Promise<void> {
    const targetPort = Number(new URL(this.deployment.gatewayUrl).port);
    this.#clientProxies[sandbox] = await startFaultProxy({ targetPort, seed: sandbox + 1 });
    this.#supervisors[sandbox] = await this.deployment.addSupervisor({
      name: `box-${sandbox}`,
      env: preloadEnv("commands"),
    });
  }

  supervisor(sandbox: number): DeployedSupervisor {
    const supervisor = this.#supervisors[sandbox];
    if (supervisor === undefined) throw new Error(`there is no sandbox ${sandbox}`);
    return supervisor;
  }

  clientProxy(sandbox: number): FaultProxy {
    const proxy = this.#clientProxies[sandbox];
    if (proxy === undefined) throw new Error(`there is no sandbox ${sandbox}`);
    return proxy;
  }

  get gateway(): BelayProcess {
    return this.deployment.gateway;
  }

  call(init: CallInit): Call {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.config;
    const off = this.#options.without.has("keepalive");
    const options = {
      url: this.clientProxy(init.exec.sandbox).url,
      sandboxId: this.supervisor(init.exec.sandbox).sandboxId,
      keepalive: {
        probeEveryMs: off ? 0 : keepaliveIntervalMs,
        deadAfterMs: off ? 0 : keepaliveIntervalMs + keepaliveTimeoutMs,
      },
      config: this.config,
    };
    return init.exec.via === "client"
      ? new ClientCall(init, options)
      : new BelayCall(init, options);
  }

  supports(_kind: FaultKind): boolean {
    return true;
  }

  strike(fault: Fault, sandbox: number, note: (text: string) => void): Promise<void> {
    return strikeBelay(this, fault, sandbox, note);
  }

  /** Kills the gateway and starts another; a second wish while that goes on shares it. */
  restartGateway(): Promise<void> {
    this.#gatewayRestarting ??= this.#restartGateway().finally(() => {
      this.#gatewayRestarting = undefined;
    });
    return this.#gatewayRestarting;
  }

  async #restartGateway(): Promise<void> {
    await this.deployment.restartGateway("SIGKILL");
    const port = Number(new URL(this.deployment.gatewayUrl).port);
    for (const proxy of this.#clientProxies) proxy.retarget(port);
  }

  /** Sends a command to the preloaded module; see faults/preload.mjs. */
  async command(target: "gateway" | number, command: Record<string, unknown>): Promise<void> {
    const process = target === "gateway" ? this.gateway : this.supervisor(target).process;
    const file =
      target === "gateway"
        ? join(this.deployment.folder, "commands-gateway")
        : join(this.supervisor(target).home, "commands");
    // One that has only just begun does not know the signal yet, and would end by it.
    await poll(`${process.name} to take commands`, () => catches(process.pid, SIGUSR2), {
      limitMs: 10_000,
      everyMs: 50,
    });
    await appendFile(file, `${JSON.stringify({ ...command, for: process.pid })}\n`);
    process.kill("SIGUSR2");
  }

  /** Resolves when these sandboxes have a session that their gateway knows. */
  async well(sandbox: number | undefined): Promise<void> {
    const wanted = sandbox === undefined ? this.#supervisors.map((_, at) => at) : [sandbox];
    await this.#gatewayRestarting;
    await this.#replaceCrashed(wanted);
    // Each once: among many, there is always one that another fault has just struck.
    let without = wanted;
    const allThere = async () => {
      const ready = await readySandboxes(this.deployment.gatewayUrl);
      without = without.filter((at) => !ready.has(this.supervisor(at).name));
      return without.length === 0;
    };
    await poll("the sandboxes' sessions", allThere, {
      // Longer than any fault on everyone, which may hold meanwhile.
      limitMs: 60_000,
      everyMs: 150,
      detail: () => without.map((at) => this.supervisor(at).process.tail(4)).join("\n"),
    });
  }

  /** As whatever keeps programs running would; the run has failed by then. */
  async #replaceCrashed(sandboxes: readonly number[]): Promise<void> {
    if (!this.gateway.running) {
      this.crashes.push(this.gateway.tail(5));
      await this.restartGateway();
    }
    for (const at of sandboxes) {
      const supervisor = this.supervisor(at);
      if (supervisor.process.running || this.#replacing.has(at)) continue;
      this.crashes.push(supervisor.process.tail(5));
      await this.replaceSupervisor(at, () => supervisor.start());
    }
  }

  /** While it is replaced on purpose, its end is no crash. */
  async replaceSupervisor(sandbox: number, replace: () => Promise<void>): Promise<void> {
    this.#replacing.add(sandbox);
    try {
      await replace();
    } finally {
      this.#replacing.delete(sandbox);
    }
  }

  async holdings({ skipSilent = false } = {}): Promise<Holdings[]> {
    const folder = join(this.deployment.folder, "reports");
    await mkdir(folder, { recursive: true });
    const targets: ("gateway" | number)[] = ["gateway", ...this.#supervisors.map((_, at) => at)];
    const ask = async (target: "gateway" | number) => {
      const process = target === "gateway" ? this.gateway : this.supervisor(target).process;
      const file = join(folder, `${this.#reports++}.json`);
      await this.command(target, { op: "report", file });
      const name = target === "gateway" ? "gateway" : `supervisor ${target}`;
      return await holdingsOf(name, process, file);
    };
    const all: Holdings[] = [];
    // An answer costs a garbage collection: of all at once, those that just begin an exec would be too late.
    for (const batch of batches(targets)) {
      const answers = await Promise.allSettled(batch.map(ask));
      for (const answer of answers) {
        if (answer.status === "fulfilled") all.push(answer.value);
        else if (!skipSilent) throw answer.reason;
      }
    }
    return all;
  }

  async rest(): Promise<void> {
    const isQuiet = async () => (await this.gauges())["belay_relays"] === 0;
    await poll("the shared connections to be let go", isQuiet, { limitMs: 15_000, everyMs: 100 });
  }

  async gauges(): Promise<Record<string, number>> {
    const answer = await fetch(`${this.deployment.gatewayUrl}/metrics`, {
      signal: AbortSignal.timeout(5_000),
    });
    const text = await answer.text();
    const found = [...text.matchAll(/^(belay_(?:sessions|relays|execs_running)) (\d+)$/gm)];
    return Object.fromEntries(found.map(([, name = "", value]) => [name, Number(value)]));
  }

  logs(sandbox: number, fromMs: number, toMs: number): LogEntry[] {
    const { sandboxId, processes, name } = this.supervisor(sandbox);
    const within = ({ atMs }: LogEntry) => atMs >= fromMs && atMs <= toMs;
    const mentions = (line: LogLine) =>
      line.fields["sandboxId"] === undefined || line.fields["sandboxId"] === sandboxId;
    const gateway = this.gateway.lines.filter(mentions).map((line) => entry("gateway", line));
    const supervisor = processes.flatMap(({ lines }) => lines.map((line) => entry(name, line)));
    return [...gateway, ...supervisor].filter(within).slice(0, 200);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clientProxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    await this.deployment[Symbol.asyncDispose]();
  }
}

function batches<T>(all: readonly T[]): T[][] {
  const begins = Array.from(
    { length: Math.ceil(all.length / processesAtOnce) },
    (_, n) => n * processesAtOnce,
  );
  return begins.map((at) => all.slice(at, at + processesAtOnce));
}

function entry(from: string, line: LogLine): LogEntry {
  const { time, level: _level, program: _program, event, sandboxId: _id, ...fields } = line.fields;
  const text = line.event === "" ? line.text : `${String(event)} ${JSON.stringify(fields)}`;
  return { atMs: typeof time === "string" ? Date.parse(time) : 0, from, text: text.slice(0, 400) };
}
