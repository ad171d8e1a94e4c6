// exec.ts: one exec, from its started process to its reported end.
import type { Log } from "@belay/program";
import { sleep } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { SupervisorLimits } from "../limits.ts";
import type { ExecCgroup } from "../process/exec-cgroup.ts";
import { ProcessGroup } from "../process/process-group.ts";
import type { Reach } from "../process/process-group.ts";
import type { ProcessTable } from "../process/process-table.ts";
import type { ProcessHandle, TerminalSize } from "../process/process-handle.ts";
import { ClientGone } from "./exec-client.ts";
import type { ExecClient } from "./exec-client.ts";
import { initialExecState, onExecEvent, owesReport } from "./exec-state.ts";
import type { Ending, ExecEffect, ExecEvent, ExecState } from "./exec-state.ts";
import { pumpInput } from "./pump-input.ts";
import { pumpOutput } from "./pump-output.ts";

export interface ExecDeps {
  readonly processes: ProcessTable;
  /** Where its processes are, if they have one of their own. */
  readonly cgroup?: ExecCgroup | undefined;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** Signals that end nobody by default: no end is awaited after them. */
const HARMLESS: ReadonlySet<NodeJS.Signals> = new Set([
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGWINCH",
]);

export class Exec {
  readonly id: string;
  readonly #process: ProcessHandle;
  readonly #client: ExecClient;
  readonly #group: ProcessGroup;
  readonly #deps: ExecDeps;
  readonly #exited = new AbortController();
  readonly #over = new AbortController();
  #state: ExecState = initialExecState;
  /** The KILLs that are under way, ours or the client's: the report waits for the last of them. */
  #ends: Promise<boolean>[] = [];
  /** Whom the client's signals are about; the report waits for them. */
  #signaled: Reach = "group";

  constructor(id: string, process: ProcessHandle, client: ExecClient, deps: ExecDeps) {
    this.id = id;
    this.#process = process;
    this.#client = client;
    this.#deps = { ...deps, log: deps.log.child({ execId: id, pid: process.pid }) };
    this.#group = new ProcessGroup(process.pid, id, deps.processes, deps.clock, deps.cgroup);
  }

  get state(): ExecState {
    return this.#state;
  }

  /** Aborts when the process has ended; its output may not have. */
  get exited(): AbortSignal {
    return this.#exited.signal;
  }

  /** Aborts when all is over, reported or not. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Resolves when the exec is over: reported, or nobody left to report to. Never rejects. */
  async run(): Promise<void> {
    const { clock, log } = this.#deps;
    const startedMs = clock.now();
    log.info("exec.started", { tty: this.#process.stderr === undefined });
    const outputs = this.#pumpOutputs();
    const input = this.#pumpInput();
    this.#watchClient();

    const end = await this.#process.exited;
    this.#on({ is: "exited", end });
    this.#exited.abort();
    const outputComplete = (await Promise.all(outputs)).every(Boolean);
    this.#on({ is: "drained", outputComplete });
    await this.#untilEndsAreThrough();

    const reported = owesReport(this.#state);
    const ending = this.#state.is === "reported" ? undefined : this.#state.ending;
    if (reported) {
      const processesEnded = this.#group.endedCount;
      this.#client.report(end, { outputComplete, ending, processesEnded });
    }
    this.#on({ is: "reported" });
    log.info("exec.ended", {
      end: end.is === "exited" ? end.exitCode : end.signal,
      outputComplete,
      reported,
      ...(ending && { ending }),
      tookMs: Math.round(clock.now() - startedMs),
    });
    this.#process.close();
    this.#deps.cgroup?.close();
    this.#over.abort();
    await input;
  }

  /** A signal that the client sends through its channel. */
  signal(signal: NodeJS.Signals): void {
    if (this.#state.is === "reported") return;
    this.#deps.log.info("exec.signal", { signal });
    if (!HARMLESS.has(signal)) this.#on({ is: "client_signaled" });
    // TERM and KILL are how a gateway ends an exec: who has left the group is not to outlive it.
    if (signal === "SIGTERM") this.#signaled = "everything";
    if (signal === "SIGKILL") this.#ends.push(this.#group.kill(this.#deps.limits.killWaitMs));
    else this.#group.signal([signal], this.#signaled);
  }

  /** A signal for the group and no more: what comes of it is the command's own end. */
  signalGroup(signal: NodeJS.Signals): void {
    this.#deps.log.info("exec.signal", { signal });
    this.#group.signal([signal], "group");
  }

  /** Whether the process takes no more input; what is still sent to it is dropped. */
  get inputClosed(): boolean {
    const { stdin } = this.#process;
    return this.#state.is !== "running" || stdin.destroyed || stdin.errored !== null;
  }

  resize(size: TerminalSize): void {
    this.#process.resize(size);
  }

  /** Ends everything of the exec, if it has not ended by itself. The report comes when it is gone;
   * there is none for "stopped". The first reason counts. */
  end(ending: Ending): void {
    this.#on({ is: "end_requested", ending });
  }

  /** KILL to everything of it, now: there is no time left for anything else. */
  killNow(): void {
    this.#group.signal(["SIGKILL"], "everything");
  }

  #on(event: ExecEvent): void {
    const { state, effect } = onExecEvent(this.#state, event);
    this.#state = state;
    if (effect) this.#perform(effect);
  }

  #perform(effect: ExecEffect): void {
    const { limits, log } = this.#deps;
    switch (effect.is) {
      case "terminate":
        log.info("exec.terminating", { reason: effect.ending });
        this.#ends.push(
          this.#group.terminate({
            graceMs: limits.terminationGraceMs,
            killWaitMs: limits.killWaitMs,
          }),
        );
        return;
      case "open_orphan_window":
        log.warn("exec.client_lost", { orphanWindowMs: limits.orphanWindowMs });
        void this.#closeOrphanWindow();
        return;
      default:
        effect satisfies never;
    }
  }

  async #closeOrphanWindow(): Promise<void> {
    const { limits, clock } = this.#deps;
    if (limits.orphanWindowMs === Number.POSITIVE_INFINITY) return;
    try {
      await sleep(limits.orphanWindowMs, clock, this.#over.signal);
    } catch {
      return; // it ended by itself
    }
    this.#on({ is: "orphan_window_ended" });
  }

  #watchClient(): void {
    const { gone } = this.#client;
    const onGone = () => {
      const how = gone.reason instanceof ClientGone ? gone.reason.how : "lost";
      this.#on({ is: how === "closed" ? "client_closed" : "client_lost" });
    };
    if (gone.aborted) return onGone();
    gone.addEventListener("abort", onGone, { once: true });
    this.#over.signal.addEventListener("abort", () => gone.removeEventListener("abort", onGone));
  }

  #pumpOutputs(): Promise<boolean>[] {
    const { stdout, stderr } = this.#process;
    const { limits, clock } = this.#deps;
    const rest = { exited: this.#exited.signal, limits: limits.exitDrain, clock };
    const write = this.#client.write.bind(this.#client);
    const pumps = [pumpOutput(stdout, { ...rest, write: (chunk) => write("stdout", chunk) })];
    if (stderr) {
      pumps.push(pumpOutput(stderr, { ...rest, write: (chunk) => write("stderr", chunk) }));
    }
    return pumps;
  }

  #pumpInput(): Promise<void> {
    return pumpInput(this.#client.input, this.#process.stdin, {
      isOver: () => this.#client.inputIsOver(),
      signal: AbortSignal.any([this.#over.signal, this.#client.gone]),
      clock: this.#deps.clock,
    });
  }

  /**
   * A client that has sent a signal wants to know when all that it was meant for has ended, not only
   * the leader: a timeout that is reported while something runs on would be a lie.
   */
  async #untilEndsAreThrough(): Promise<void> {
    const { limits, log } = this.#deps;
    if (this.#state.is === "drained" && this.#state.client === "signaled") {
      const limitMs = limits.terminationGraceMs + limits.killWaitMs;
      if (!(await this.#group.whenGone(this.#signaled, limitMs))) log.warn("exec.signal_outlived");
    }
    while (this.#ends.length > 0) {
      const through = await Promise.all(this.#ends.splice(0)); // more may come meanwhile
      if (through.includes(false)) log.error("exec.kill_outlived");
    }
  }
}
