// exec-views.ts: execs as this client's callers see them: plain numbers and words, not messages.
import { ExecState } from "@belay/protocol";
import type {
  ExecExit as WireExit,
  ExecInfo as WireInfo,
  StreamTotals as WireTotals,
} from "@belay/protocol";

export type OutputStreamName = "stdout" | "stderr";

/** A newer gateway may know more words. */
export type ExitReason =
  "exited" | "signaled" | "timed_out" | "canceled" | "lost" | (string & { readonly newer?: never });

/** What a stream carried in all, whether or not it is still kept. */
export interface StreamTotals {
  readonly bytes: number;
  readonly sha256: Uint8Array;
}

/** The end of an exec: what the kernel reported, or what Belay itself did. */
export interface ExecExit {
  /**
   * `exited` by itself; `signaled` by a signal that Belay did not send; `timed_out` and `canceled`:
   * Belay ended it; `lost`: nobody followed it for the orphan window.
   */
  readonly reason: ExitReason;
  /** The process's own; 128 + n after signal n; 124 after a timeout. */
  readonly exitCode: number;
  /** Without SIG, when a signal ended the process. */
  readonly signal?: string;
  /** Output was cut, because something held a stream open after the exit. */
  readonly outputIncomplete: boolean;
  readonly stdout: StreamTotals;
  readonly stderr: StreamTotals;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** How many processes Belay ended. */
  readonly processesEnded: number;
}

/** `exited`: the process has ended, its output has not. `ended`: all is over. */
export type ExecStateName = "starting" | "running" | "exited" | "ended" | "unknown";

/** An exec as it was at one moment. */
export interface ExecInfo {
  readonly sandboxId: string;
  readonly execId: string;
  readonly state: ExecStateName;
  readonly command: readonly string[];
  readonly detached: boolean;
  readonly startedAtMs: number;
  /** 0 while it has not ended. */
  readonly endedAtMs: number;
  readonly followers: number;
  /** What is kept of each output, as offsets: [first, end). */
  readonly stdout: LogRange;
  readonly stderr: LogRange;
  /** Input up to here has been taken. */
  readonly stdinOffset: number;
  readonly stdinEnded: boolean;
  /** Set when all is over. */
  readonly exit?: ExecExit;
}

export interface LogRange {
  readonly firstOffset: number;
  readonly endOffset: number;
}

const STATES: Readonly<Record<ExecState, ExecStateName>> = {
  [ExecState.UNSPECIFIED]: "unknown",
  [ExecState.STARTING]: "starting",
  [ExecState.RUNNING]: "running",
  [ExecState.EXITED]: "exited",
  [ExecState.ENDED]: "ended",
};

export function infoView(info: WireInfo): ExecInfo {
  return {
    sandboxId: info.sandboxId,
    execId: info.execId,
    state: STATES[info.state] ?? "unknown",
    command: info.command,
    detached: info.detached,
    startedAtMs: Number(info.startedAtMs),
    endedAtMs: Number(info.endedAtMs),
    followers: info.followers,
    stdout: rangeView(info.stdout),
    stderr: rangeView(info.stderr),
    stdinOffset: Number(info.stdinOffset),
    stdinEnded: info.stdinEnded,
    ...(info.exit && { exit: exitView(info.exit) }),
  };
}

export function exitView(exit: WireExit): ExecExit {
  return {
    reason: exit.reason,
    exitCode: exit.exitCode,
    ...(exit.signal !== "" && { signal: exit.signal }),
    outputIncomplete: exit.outputIncomplete,
    stdout: totalsView(exit.stdout),
    stderr: totalsView(exit.stderr),
    startedAtMs: Number(exit.startedAtMs),
    endedAtMs: Number(exit.endedAtMs),
    processesEnded: exit.processesEnded,
  };
}

function totalsView(totals: WireTotals | undefined): StreamTotals {
  return { bytes: Number(totals?.bytes ?? 0), sha256: totals?.sha256 ?? new Uint8Array() };
}

function rangeView(range: WireInfo["stdout"]): LogRange {
  return {
    firstOffset: Number(range?.firstOffset ?? 0),
    endOffset: Number(range?.endOffset ?? 0),
  };
}
