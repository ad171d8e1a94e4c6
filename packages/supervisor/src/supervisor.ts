// supervisor.ts: the supervisor, put together: a session out, processes in, and an orderly end.
import { randomUUID } from "node:crypto";
import type { Log, StopSignals } from "@belay/program";
import type { SupervisorFeature } from "@belay/protocol";
import { sleep, systemClock, TaskScope } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import { DurableExecs } from "./execs/durable/durable-execs.ts";
import { ExecTable } from "./execs/exec-table.ts";
import type { Environment } from "./execs/exec-environment.ts";
import { LogBudget } from "./execs/log/log-budget.ts";
import { spillDirectory } from "./execs/log/spill-file.ts";
import type { SupervisorLimits } from "./limits.ts";
import { runSessionLoop } from "./link/session-loop.ts";
import type { AcceptedSession } from "./link/session-loop.ts";
import type { TokenSource } from "./link/sandbox-token.ts";
import type { GatewaySession } from "./link/gateway-session.ts";
import type { TlsFiles } from "./link/tls-files.ts";
import { ExecCgroups } from "./process/exec-cgroup.ts";
import { PipePool } from "./process/pipe-pool.ts";
import { Relays } from "./relays/relays.ts";
import { SshServer } from "./ssh/ssh-server.ts";

export interface SupervisorConfig {
  readonly gateway: URL;
  readonly token: TokenSource;
  readonly tls: TlsFiles;
  /** `undefined`: the one that the token names. */
  readonly sandboxId: string | undefined;
  readonly version: string;
  /** What it offers beyond the OpenShell contract. */
  readonly features: readonly SupervisorFeature[];
  /** Absolute path of the shell that runs the commands. */
  readonly shell: string;
  /** What the commands inherit. */
  readonly environment: Environment;
  /** Where the logs of durable execs go that are too long for memory. */
  readonly runtimeDir: string;
  readonly execCgroups: ExecCgroupsChoice;
  readonly limits: SupervisorLimits;
}

/** Whether each exec gets a cgroup where the system lets us make one. */
export type ExecCgroupsChoice = "auto" | "off";

export interface SupervisorDeps {
  readonly log: Log;
  readonly stop: Pick<StopSignals, "draining" | "now">;
  readonly clock?: Clock;
}

const STOPPING = "supervisor is stopping";

export class Supervisor {
  readonly #config: SupervisorConfig;
  readonly #deps: Required<SupervisorDeps>;
  readonly #pipePool: PipePool;
  readonly #execs: ExecTable;
  readonly #durable: DurableExecs;
  readonly #ssh: SshServer;
  #current: { readonly session: GatewaySession; readonly relays: Relays } | undefined;

  constructor(config: SupervisorConfig, deps: SupervisorDeps) {
    const { limits, shell, environment } = config;
    const clock = deps.clock ?? systemClock;
    const { log } = deps;
    this.#config = config;
    this.#deps = { ...deps, clock };
    this.#pipePool = new PipePool({
      size: limits.pooledPipes,
      helperMs: limits.pipeHelperMs,
      clock,
      onUnsupported: (cause) =>
        log.warn("pipes.unsupported", {
          err: cause,
          consequence: "commands cannot open /dev/stdin, /dev/stdout and /dev/stderr",
        }),
    });
    const cgroups = config.execCgroups === "auto" ? ExecCgroups.open(clock, log) : undefined;
    log.info("processes.tracking", { by: cgroups ? "cgroup" : "marker" });
    this.#execs = new ExecTable({
      limits,
      clock,
      log,
      shell,
      inherited: environment,
      draining: deps.stop.draining,
      cgroups,
    });
    this.#durable = new DurableExecs({
      execs: this.#execs,
      pipePool: this.#pipePool,
      limits,
      clock,
      log,
      logBudget: new LogBudget(limits.execLog),
      spill: spillDirectory(config.runtimeDir),
      signal: deps.stop.now,
    });
    this.#ssh = new SshServer({
      execs: this.#execs,
      durable: this.#durable,
      pipePool: this.#pipePool,
      limits,
      clock,
    });
  }

  /** Resolves when all is over: after the first stop signal in order, after the second at once. */
  async run(): Promise<void> {
    const { stop, log } = this.#deps;
    using _pool = this.#pipePool;
    using _durable = this.#durable;
    const endSession = new AbortController();
    await using tasks = new TaskScope("supervisor", { signal: stop.now });
    tasks.run((signal) => this.#keepSession(AbortSignal.any([signal, endSession.signal])));
    await whenAborted(AbortSignal.any([stop.draining, tasks.signal]));
    if (tasks.failure !== undefined) throw tasks.failure as Error;

    log.info("supervisor.draining", { execs: this.#execs.size });
    await this.#drain();
    await this.#endExecs();
    if (stop.now.aborted) this.killAllNow();
    endSession.abort();
    await tasks.idle();
    log.info("supervisor.stopped", { execsLeft: this.#execs.size });
  }

  /** KILL to every process of every exec, now. */
  killAllNow(): void {
    this.#execs.killAllNow();
  }

  #keepSession(stop: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const openRelays = (accepted: AcceptedSession) => this.#openRelays(accepted);
    const instance = { instanceId: randomUUID(), startedAtMs: clock.now() };
    return runSessionLoop({ ...this.#config, ...instance, clock, log, openRelays }, { stop });
  }

  #openRelays({ session, client, tasks, log }: AcceptedSession): Relays {
    const relays = new Relays({
      client,
      ssh: this.#ssh,
      pipePool: this.#pipePool,
      limits: this.#config.limits,
      clock: this.#deps.clock,
      log,
      draining: this.#deps.stop.draining,
      answer: (channelId, refusal) =>
        session.send({
          case: "relayOpenResult",
          value: { channelId, success: refusal === undefined, error: refusal ?? "" },
        }),
      takeBack: (channelId, reason) =>
        session.send({ case: "relayClose", value: { channelId, reason } }),
      tasks,
    });
    this.#current = { session, relays };
    return relays;
  }

  /** What runs may end by itself, and its relays with it: an exit status may still be on the way. */
  async #drain(): Promise<void> {
    await this.#within(
      this.#config.limits.drainTimeoutMs,
      Promise.all([
        this.#execs.idle().then(() => this.#durable.unfollowed()),
        this.#current?.relays.idle(),
      ]),
    );
  }

  /** No exit status is reported of these: it would look like the commands' own. */
  async #endExecs(): Promise<void> {
    const { terminationGraceMs, killWaitMs, socketCloseMs } = this.#config.limits;
    for (const channelId of this.#current?.relays.channelIds ?? []) {
      // So that the gateway can tell a stop from a crash.
      this.#current?.session.send({ case: "relayClose", value: { channelId, reason: STOPPING } });
    }
    this.#execs.stopAll();
    // Each exec keeps these bounds itself, unless the kernel never lets go of its process.
    await this.#within(terminationGraceMs + killWaitMs + socketCloseMs, this.#execs.idle());
  }

  async #within(limitMs: number, done: Promise<unknown>): Promise<void> {
    const { clock, stop } = this.#deps;
    const limit = sleep(limitMs, clock, stop.now).catch(() => {}); // or the second signal
    await Promise.race([done, limit]);
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
