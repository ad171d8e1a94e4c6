// bounds.ts: how long an exec may take by what the configuration promises. Past it, it counts as hung,
// even if something else should end it later.
import { clientLimits, exitDrainMs, reachMs } from "../adapters/lab-config.ts";
import type { LabConfig } from "../adapters/lab-config.ts";
import type { FaultKind, Strike } from "../faults/fault.ts";
import type { PlannedExec } from "../work/plan.ts";

/** From a fault's begin until the caller of an exec that it ends must know. */
export function noticeMs(kind: FaultKind, config: LabConfig): number {
  const keepaliveMs = config.keepaliveIntervalMs + config.keepaliveTimeoutMs;
  const heartbeatMs = config.heartbeatIntervalMs * config.heartbeatMissed;
  const sshMs = config.sshKeepaliveIntervalMs * config.sshKeepaliveMissed;
  switch (kind) {
    case "black-hole":
      return keepaliveMs;
    // PING stands still as the program does, but only the heartbeats promise to notice.
    case "supervisor-stop":
    case "supervisor-block":
    case "gateway-stop":
    case "gateway-block":
      return Math.max(keepaliveMs, heartbeatMs);
    case "session-stuck":
      return heartbeatMs;
    case "ssh-wedge":
      return sshMs;
    case "close-swallowed":
    case "exit-status-swallowed":
      return config.postExitWaitMs;
    case "cut":
    case "idle-close":
    case "mass-reset":
    case "supervisor-kill":
    case "gateway-kill":
    case "delay":
    case "throttle":
    case "supervisor-fds":
    case "gateway-fds":
      return 0;
    default:
      return kind satisfies never;
  }
}

/**
 * Milliseconds after its call at which an exec that these faults touched must have ended.
 * @param isRunning whether the work has started: then it has all waits for a start behind it.
 */
export function limitMs(
  exec: PlannedExec,
  strikes: readonly Strike[],
  config: LabConfig,
  { isRunning }: { isRunning: boolean },
): number {
  const { work, plannedMs } = exec;
  const endMs = ownEndMs(exec, config);
  const quietMs = exitDrainMs + config.postExitWaitMs;
  const limit = plannedMs + endMs + quietMs + config.slackMs;
  if (strikes.length === 0) return limit;

  // Each wait on the way to a running command has its bound, and a fault may use all of them up.
  const startMs = isRunning ? 0 : reachMs(config);
  const bytes = work.stdoutBytes + work.stderrBytes + work.stdinBytes;
  const notices = strikes.map(({ fault }) => noticeMs(fault.kind, config));
  const lost = sum(strikes.map(({ fault }) => pauseMs(fault.kind, exec, config)));
  // What ends the exec is noticed once; of what only makes it pause, each.
  const notice = lost > 0 ? sum(notices) : Math.max(...notices);
  const standstill = sum(strikes.map(({ fault }) => standstillMs(fault, bytes, config)));
  return limit + startMs + notice + standstill + lost;
}

/** A timeout, a cancel or a deadline can only make it shorter, by its own end. */
function ownEndMs({ caller, via }: PlannedExec, config: LabConfig): number {
  if (caller.timeoutSeconds !== undefined) return config.terminationGraceMs + config.killWaitMs;
  const wished = caller.cancelAfterMs !== undefined || caller.deadlineMs !== undefined;
  return wished && via === "client" ? clientLimits(config).cancelMs : 0;
}

/** For how long a way that this fault has broken is looked for at most, once that is known. */
function pauseMs(kind: FaultKind, { via }: PlannedExec, config: LabConfig): number {
  if (config.form === "plain" || kind === "delay" || kind === "throttle") return 0;
  const { resumeWindowMs } = config;
  if (via === "exec-sandbox") return resumeWindowMs;
  // Its last try begins within the client's window, and is the gateway's whole search.
  return clientLimits(config).resumeWindowMs + reachMs(config) + resumeWindowMs;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** For how long a fault may keep an exec from getting on that it does not end. */
function standstillMs(fault: Strike["fault"], bytes: number, config: LabConfig): number {
  const { kind, durationMs, amount } = fault;
  switch (kind) {
    case "delay": // the bytes of one window wait for the answer to the window before
      return durationMs + (2 + bytes / 32_768) * amount * 2;
    case "throttle":
    case "supervisor-fds":
    case "gateway-fds":
      return durationMs;
    case "black-hole":
    case "supervisor-stop":
    case "gateway-stop":
    case "supervisor-block":
    case "gateway-block":
      return Math.min(durationMs, noticeMs(kind, config)); // what lasts longer is noticed
    default:
      return 0;
  }
}

/** Until nothing of an exec may be left after its caller knew: the sandbox has to notice, to wait for a
 * follower that never comes, and to end the group. */
export function survivorGraceMs(strikes: readonly Strike[], config: LabConfig): number {
  const endMs = config.terminationGraceMs + config.killWaitMs;
  const sides = config.keepaliveIntervalMs + config.keepaliveTimeoutMs;
  const notice = Math.max(sides, 0, ...strikes.map(({ fault }) => noticeMs(fault.kind, config)));
  const standstill = sum(strikes.map(({ fault }) => fault.durationMs));
  if (strikes.length === 0) return 2 * endMs + config.slackMs;
  return notice + standstill + config.orphanWindowMs + 2 * endMs + config.slackMs;
}
