// durable-exec.ts: an exec that no connection owns: what it wrote, what it is still to read, who follows
// it, why it is ended, and how it ended.
import { create } from "@bufbuild/protobuf";
import { BelayError, ExecInfoSchema, ExecState, StreamTotalsSchema } from "@belay/protocol";
import type { ExecExit, ExecInfo, ExecSpec, StreamTotals } from "@belay/protocol";
import { epochMs } from "@belay/relay-core";
import type { Clock, Timer } from "@belay/relay-core";
import type { SupervisorLimits } from "../../limits.ts";
import type { ProcessEnd, TerminalSize } from "../../process/process-handle.ts";
import type { ExecClient, OutputStream, ReportedEnd } from "../exec-client.ts";
import type { Exec } from "../exec.ts";
import type { LogCursor } from "../log/log-cursor.ts";
import type { OutputLog } from "../log/output-log.ts";
import { execExit } from "./exec-exit.ts";
import { StdinFeed } from "./stdin-feed.ts";
import type { StdinPiece, StdinTaken } from "./stdin-feed.ts";

/** - `starting`: its pipes are being fetched.
 *  - `running`: there is a process; it, its output or what it started may still be there.
 *  - `ended`: all of it is over. Without an exit the supervisor ended it for its own sake. */
type State =
  | { readonly is: "starting" }
  | { readonly is: "running"; readonly exec: Exec }
  | { readonly is: "ended"; readonly exit: ExecExit | undefined };

export interface Follower extends Disposable {
  readonly cursor: LogCursor;
}

export interface DurableExecDeps {
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  /** Called when a follower has left. */
  readonly onLeft: () => void;
}

export class DurableExec implements ExecClient {
  readonly id: string;
  /** Of the spec: another spec under the same id is another exec. */
  readonly digest: string;
  readonly log: OutputLog;
  /** The client that the process sees never leaves: followers do. */
  readonly gone = new AbortController().signal;
  readonly #spec: ExecSpec;
  readonly #limits: SupervisorLimits;
  readonly #clock: Clock;
  readonly #onLeft: () => void;
  readonly #stdin: StdinFeed;
  readonly #ended = new AbortController();
  readonly #startedAtMs = epochMs();
  #state: State = { is: "starting" };
  #followers = 0;
  #timeout: Timer | undefined;
  #orphanWindow: Timer | undefined;

  constructor(
    id: string,
    { digest, spec, log }: { digest: string; spec: ExecSpec; log: OutputLog },
    { limits, clock, onLeft }: DurableExecDeps,
  ) {
    this.id = id;
    this.digest = digest;
    this.log = log;
    this.#spec = spec;
    this.#limits = limits;
    this.#clock = clock;
    this.#onLeft = onLeft;
    this.#stdin = new StdinFeed({
      bufferBytes: limits.stdinBytes,
      isClosed: () =>
        this.#state.is === "ended" ||
        (this.#state.is === "running" && this.#state.exec.inputClosed),
    });
    if (!spec.stdin) this.#stdin.end();
  }

  /** Aborts when all of it is over, and `exit()` knows how. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** @param exec its process, started just now. */
  started(exec: Exec): void {
    this.#state = { is: "running", exec };
    const timeoutMs = Number(this.#spec.timeoutMs);
    if (timeoutMs > 0) this.#timeout = this.#clock.setTimer(timeoutMs, () => exec.end("timed_out"));
    exec.exited.addEventListener("abort", () => {
      this.#stdin.wake();
      this.log.relax({ extraBytes: this.#limits.exitDrain.ownBytes });
    });
    exec.over.addEventListener("abort", () => this.#end(undefined));
    this.#watchForOrphan();
  }

  /** Whether its process has ended. */
  get hasExited(): boolean {
    const state = this.#state;
    return state.is === "ended" || (state.is === "running" && state.exec.exited.aborted);
  }

  /** How it ended. @throws BelayError `supervisor_stopping` where that is known to nobody. */
  exit(): ExecExit {
    if (this.#state.is === "ended" && this.#state.exit) return this.#state.exit;
    throw new BelayError("supervisor_stopping", "supervisor is stopping");
  }

  // What the process sees of its client.

  get input() {
    return this.#stdin.readable;
  }

  inputIsOver(): boolean {
    return this.#stdin.ended;
  }

  write(stream: OutputStream, chunk: Buffer): Promise<void> {
    return this.log.append(stream, chunk);
  }

  report(end: ProcessEnd, how: ReportedEnd): void {
    this.log.end();
    this.#end(
      execExit(end, how, {
        stdout: this.#totals("stdout"),
        stderr: this.#totals("stderr"),
        startedAtMs: BigInt(this.#startedAtMs),
        endedAtMs: BigInt(epochMs()),
      }),
    );
  }

  // What those may do who know its id.

  get isFollowed(): boolean {
    return this.#followers > 0;
  }

  /**
   * While somebody follows, nobody ends it as orphaned.
   * @throws BelayError `offset_out_of_range`.
   */
  follow(
    from: { readonly stdout: number; readonly stderr: number },
    options: { readonly holdsLog: boolean },
  ): Follower {
    const cursor = this.log.follow(from, options);
    this.#followers += 1;
    this.#orphanWindow?.cancel();
    return {
      cursor,
      [Symbol.dispose]: () => {
        cursor[Symbol.dispose]();
        this.#followers -= 1;
        this.#watchForOrphan();
        this.#onLeft();
      },
    };
  }

  /** @throws BelayError `offset_out_of_range` for a gap; the signal's reason. */
  writeStdin(piece: StdinPiece, options: { signal: AbortSignal }): Promise<StdinTaken> {
    return this.#stdin.write(piece, options);
  }

  /** @throws BelayError `exec_ended`. */
  signal(signal: NodeJS.Signals): void {
    this.#runningExec().signalGroup(signal);
  }

  /** @throws BelayError `exec_ended`. */
  resize(size: TerminalSize): void {
    this.#runningExec().resize(size);
  }

  /** Ends all of it; `ended` says when that is done. Nothing happens to one that has ended by itself. */
  cancel(): void {
    this.#endBecause("canceled");
  }

  info(): ExecInfo {
    const state = this.#state;
    return create(ExecInfoSchema, {
      execId: this.id,
      state: protocolState(state),
      command: this.#spec.command,
      detached: this.#spec.detached,
      startedAtMs: BigInt(this.#startedAtMs),
      endedAtMs: state.is === "ended" ? (state.exit?.endedAtMs ?? 0n) : 0n,
      followers: this.#followers,
      stdout: this.#range("stdout"),
      stderr: this.#range("stderr"),
      stdinOffset: BigInt(this.#stdin.offset),
      stdinEnded: this.#stdin.ended || state.is === "ended",
      ...(state.is === "ended" && state.exit && { exit: state.exit }),
    });
  }

  #runningExec(): Exec {
    const state = this.#state;
    if (state.is === "running" && !this.hasExited) return state.exec;
    if (state.is !== "starting") throw new BelayError("exec_ended", "the exec has ended");
    throw new BelayError("exec_not_found", "the exec has not started yet");
  }

  #endBecause(ending: "canceled" | "orphaned"): void {
    if (this.#state.is !== "running") return;
    this.#state.exec.end(ending);
    // Its last output has no reader to wait for.
    this.log.relax({ extraBytes: 0 });
  }

  #watchForOrphan(): void {
    const { orphanWindowMs } = this.#limits;
    if (this.#followers > 0 || this.#spec.detached || this.#state.is !== "running") return;
    this.#orphanWindow?.cancel();
    if (orphanWindowMs === Number.POSITIVE_INFINITY) return;
    this.#orphanWindow = this.#clock.setTimer(orphanWindowMs, () => this.#endBecause("orphaned"));
  }

  #end(exit: ExecExit | undefined): void {
    if (this.#state.is === "ended") return;
    this.#state = { is: "ended", exit };
    this.#timeout?.cancel();
    this.#orphanWindow?.cancel();
    this.#stdin.wake();
    this.log.end();
    this.#ended.abort();
  }

  #totals(stream: OutputStream): StreamTotals {
    const { bytes, sha256 } = this.log.totals(stream);
    return create(StreamTotalsSchema, { bytes: BigInt(bytes), sha256 });
  }

  #range(stream: OutputStream): { firstOffset: bigint; endOffset: bigint } {
    const { firstOffset, endOffset } = this.log.range(stream);
    return { firstOffset: BigInt(firstOffset), endOffset: BigInt(endOffset) };
  }
}

function protocolState(state: State): ExecState {
  switch (state.is) {
    case "starting":
      return ExecState.STARTING;
    case "running":
      return state.exec.exited.aborted ? ExecState.EXITED : ExecState.RUNNING;
    case "ended":
      return ExecState.ENDED;
    default:
      return state satisfies never;
  }
}
