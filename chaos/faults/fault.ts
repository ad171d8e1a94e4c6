// fault.ts: the faults that the lab knows, as data: what is struck, how, and for how long.

export type FaultKind =
  // A path: client to gateway, or supervisor to gateway.
  | "cut"
  | "black-hole"
  | "delay"
  | "throttle"
  | "idle-close"
  // All supervisors' connections at once.
  | "mass-reset"
  // Programs, from outside.
  | "supervisor-stop"
  | "gateway-stop"
  | "supervisor-kill"
  | "gateway-kill"
  | "supervisor-fds"
  | "gateway-fds"
  // Programs, from inside (faults/preload.mjs).
  | "supervisor-block"
  | "gateway-block"
  | "session-stuck"
  | "ssh-wedge"
  | "close-swallowed"
  | "exit-status-swallowed";

export type FaultPath = "client" | "supervisor";

export interface Fault {
  /** Its number in the run; the same seed gives the same fault the same number. */
  id: number;
  kind: FaultKind;
  /** The exec that it is aimed at, and how long after its start. */
  exec: number;
  afterMs: number;
  /** How long it holds; 0 for what happens and is over. */
  durationMs: number;
  path: FaultPath;
  how: "fin" | "rst";
  direction: "up" | "down" | "both";
  /** cut: so many bytes later. throttle: bytes a second. delay: milliseconds. idle-close: milliseconds. */
  amount: number;
}

/** A fault that was really injected, with its times on the lab's clock. */
export interface Strike {
  fault: Fault;
  /** The sandbox whose path it is on; undefined: all of them. */
  sandbox: number | undefined;
  startedMs: number;
  /** When it was over AND the path was well again; undefined while it is not. */
  wellMs?: number;
  /** Why it could not be done, for a fault that was not injected. */
  skipped?: string;
  /** What was noted of it while it lasted. */
  notes: string[];
}

/** Faults on everyone's path. */
export const globalFaults: ReadonlySet<FaultKind> = new Set([
  "mass-reset",
  "gateway-stop",
  "gateway-kill",
  "gateway-fds",
  "gateway-block",
]);

/** Whether it was on the exec's path at any time of the exec's life. */
export function touches(
  strike: Strike,
  exec: { sandbox: number; startedMs: number; endedMs: number | undefined },
): boolean {
  if (strike.skipped !== undefined) return false;
  if (strike.sandbox !== undefined && strike.sandbox !== exec.sandbox) return false;
  const before = exec.endedMs === undefined || strike.startedMs <= exec.endedMs;
  return before && (strike.wellMs === undefined || strike.wellMs >= exec.startedMs);
}
