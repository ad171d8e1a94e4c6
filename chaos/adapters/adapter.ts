// adapter.ts: what the lab has to know of a system to drive it: how to run an exec, how to strike it,
// what it holds on to, and what it wrote down.
import type { Difference } from "../oracles/stream-check.ts";
import type { Fault, FaultKind } from "../faults/fault.ts";
import type { Markers } from "../work/markers.ts";
import type { PlannedExec } from "../work/plan.ts";

/** How an exec ended, as its caller was told. */
export type CallerEnd =
  | {
      is: "exit";
      exitCode: number;
      /** Without SIG; empty when no signal was told. */
      signal: string;
      /** Empty where the system does not tell one. */
      reason: "" | "exited" | "signaled" | "timed_out";
      outputIncomplete: boolean;
    }
  | {
      is: "error";
      /** The system's own name for it, or the status code where it has none. */
      kind: string;
      /** What the caller was told of the command; undefined when nobody said. */
      outcome: string | undefined;
      /** Whether the caller's own side broke (its connection, its cancel, its deadline): then nobody
       * could say more, and the caller knows that it does not know. */
      callersOwn: boolean;
      /** The caller was told as well that nothing of the exec lives, nor will. */
      allGone?: boolean;
      message: string;
    }
  | { is: "hung" };

export interface CallerView {
  /** On the lab's clock. */
  startedMs: number;
  endedMs: number;
  /** When the last message came; 0 when none did. */
  lastMessageMs: number;
  end: CallerEnd;
  streams: Record<
    "stdout" | "stderr",
    { receivedBytes: number; differences: readonly Difference[] }
  >;
  /** What no stream of events may do, whatever the work was. */
  violations: string[];
  /** The name of the exec in the system's own logs. */
  execId?: string;
}

export interface CallInit {
  exec: PlannedExec;
  command: string[];
  /** Set in the environment of the work, and so of all that it starts. */
  environment: Record<string, string>;
  input: Buffer<ArrayBuffer>;
}

export interface Call {
  /** Never rejects. */
  readonly view: Promise<CallerView>;
  /** On the lab's clock; 0 before the first message. */
  readonly lastMessageMs: number;
  /** The lab has waited long enough: the view will say hung. */
  giveUp(): void;
}

export interface LogEntry {
  /** Milliseconds since the epoch. */
  atMs: number;
  from: string;
  text: string;
}

/** What a process of the system holds; a leak is what does not come back to where it began. */
export interface Holdings {
  name: string;
  /** Of the kernel's count: with what the allocators keep for later. */
  rssBytes: number;
  /** Heap and buffers that something still refers to, right after a garbage collection. */
  liveBytes: number;
  fds: number;
  sockets: number;
  /** By name, from inside the process, where it can be asked. */
  resources: Record<string, number>;
  lagMaxMs: number;
}

export interface Adapter extends AsyncDisposable {
  readonly name: string;
  readonly sandboxes: number;
  readonly markers: Markers;
  /** Programs that ended although nobody ended them, with their last words. */
  readonly crashes: readonly string[];
  call(init: CallInit): Call;
  supports(kind: FaultKind): boolean;
  /**
   * Injects it now, for as long as it lasts, and takes it back. Resolves when the path is well again.
   * Throws when it could not be injected.
   * @param sandbox whose path is struck; ignored by a fault that strikes all.
   */
  strike(fault: Fault, sandbox: number, note: (text: string) => void): Promise<void>;
  /** @param options.skipSilent leaves out what does not answer, instead of failing. */
  holdings(options?: { skipSilent?: boolean }): Promise<Holdings[]>;
  /** Resolves when what was kept ready for a next exec has been let go. */
  rest(): Promise<void>;
  /** Things that are open by the system's own count, such as relays. Empty where it does not count. */
  gauges(): Promise<Record<string, number>>;
  /** Lines about a sandbox (and about everyone) in that time. */
  logs(sandbox: number, fromMs: number, toMs: number): LogEntry[];
}
