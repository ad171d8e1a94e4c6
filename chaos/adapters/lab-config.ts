// lab-config.ts: the settings that the lab runs Belay with: all backstops on, all of them short, so that
// thousands of execs with faults fit into minutes. Every bound of the judgement follows from them.
import type { ClientLimits } from "@belay/client";

export type Backstop =
  "keepalive" | "heartbeat" | "ssh-keepalive" | "post-exit-bound" | "session-fanout";

export const backstops: readonly Backstop[] = [
  "keepalive",
  "heartbeat",
  "ssh-keepalive",
  "post-exit-bound",
  "session-fanout",
];

/** How the supervisors run what ExecSandbox asks for: their --exec-form. */
export type ExecForm = "durable" | "plain";

export interface LabConfig {
  form: ExecForm;
  keepaliveIntervalMs: number;
  keepaliveTimeoutMs: number;
  heartbeatIntervalMs: number;
  heartbeatMissed: number;
  /** The supervisor's own check; 0: none. A program that is stuck checks nothing. */
  supervisorHeartbeatMissed: number;
  sshKeepaliveIntervalMs: number;
  sshKeepaliveMissed: number;
  postExitWaitMs: number;
  sessionWaitMs: number;
  relayWaitMs: number;
  sshReadyMs: number;
  execStartMs: number;
  terminationGraceMs: number;
  killWaitMs: number;
  /** The gateway looks for a lost way to a durable exec for so long; the supervisor keeps the exec longer. */
  resumeWindowMs: number;
  orphanWindowMs: number;
  /** What the programs keep ready or in mind: short, so that a run can see it let go. A result is there
   * for as long as somebody may still come for it. */
  connectionIdleMs: number;
  execRetentionMs: number;
  /** @belay/client looks for a lost way to a gateway, or to a started exec, for so long. */
  clientStartWindowMs: number;
  clientResumeWindowMs: number;
  /** For the machine, not for Belay: late timers and queues for two cores that hundreds of processes share. */
  slackMs: number;
}

/** Notice and windows are a tenth of the defaults. */
export const labConfig: LabConfig = {
  form: "durable",
  keepaliveIntervalMs: 1_000,
  keepaliveTimeoutMs: 1_000,
  heartbeatIntervalMs: 1_000,
  heartbeatMissed: 3,
  supervisorHeartbeatMissed: 3,
  sshKeepaliveIntervalMs: 1_500,
  sshKeepaliveMissed: 3,
  postExitWaitMs: 500,
  sessionWaitMs: 5_000,
  relayWaitMs: 3_000,
  sshReadyMs: 3_000,
  execStartMs: 3_000,
  terminationGraceMs: 500,
  killWaitMs: 3_000,
  resumeWindowMs: 3_000,
  orphanWindowMs: 4_500,
  connectionIdleMs: 1_000,
  execRetentionMs: 12_000,
  clientStartWindowMs: 3_000,
  clientResumeWindowMs: 10_000,
  slackMs: 5_000,
};

/**
 * For so many execs at once. On a machine that hundreds of processes share, a program may get no processor
 * for a second or two; a backstop as short as that would take it for dead, and be right.
 */
export function labConfigFor(execsAtOnce: number, form: ExecForm = labConfig.form): LabConfig {
  const factor = Math.max(1, execsAtOnce / 24);
  const times = (ms: number) => Math.round(ms * factor);
  return {
    ...labConfig,
    form,
    keepaliveIntervalMs: times(labConfig.keepaliveIntervalMs),
    keepaliveTimeoutMs: times(labConfig.keepaliveTimeoutMs),
    heartbeatIntervalMs: times(labConfig.heartbeatIntervalMs),
    sshKeepaliveIntervalMs: times(labConfig.sshKeepaliveIntervalMs),
    resumeWindowMs: times(labConfig.resumeWindowMs),
    orphanWindowMs: times(labConfig.orphanWindowMs),
    execRetentionMs: times(labConfig.execRetentionMs),
    clientResumeWindowMs: times(labConfig.clientResumeWindowMs),
    slackMs: times(labConfig.slackMs),
  };
}

/** Not changed by the lab: the supervisor's bound for output that a grandchild holds back, and the
 * gateway's for an answer to a frame about a durable exec. */
export const exitDrainMs = 2_000;
export const execAnswerMs = 10_000;

/** The default form, but for what it does without: it takes an exit for what it is without a close. */
export function controlForm(backstop: Backstop): ExecForm {
  return backstop === "post-exit-bound" ? "plain" : "durable";
}

/**
 * The settings of a run that measures what one backstop is worth, with it and without it: whatever else
 * would end the same execs is made slow in both, so that it is this backstop that is measured.
 */
export function configForControl(
  backstop: Backstop,
  form: ExecForm = controlForm(backstop),
): LabConfig {
  const slow: Partial<LabConfig> = {};
  if (backstop !== "heartbeat" && backstop !== "session-fanout") slow.heartbeatMissed = 60;
  if (backstop !== "ssh-keepalive") slow.sshKeepaliveMissed = 40;
  // PING is answered under every fault of the other controls, so it can stay as it is.
  // The limit comes well before what ends a session's connection in any case: 10 s after it, the gateway
  // closes the stream that its supervisor has left open.
  return { ...labConfig, ...slow, form, supervisorHeartbeatMissed: 0, slackMs: 1_500 };
}

export function gatewayArgs(config: LabConfig, without: ReadonlySet<Backstop>): string[] {
  const unless = (backstop: Backstop, ms: number) => (without.has(backstop) ? 0 : ms);
  const args = flags({
    "keepalive-interval-ms": unless("keepalive", config.keepaliveIntervalMs),
    "keepalive-timeout-ms": config.keepaliveTimeoutMs,
    "heartbeat-interval-ms": unless("heartbeat", config.heartbeatIntervalMs),
    "heartbeat-missed": config.heartbeatMissed,
    "ssh-keepalive-interval-ms": unless("ssh-keepalive", config.sshKeepaliveIntervalMs),
    "ssh-keepalive-missed": config.sshKeepaliveMissed,
    "post-exit-wait-ms": unless("post-exit-bound", config.postExitWaitMs),
    "session-wait-ms": config.sessionWaitMs,
    "relay-wait-ms": config.relayWaitMs,
    "ssh-ready-ms": config.sshReadyMs,
    "exec-start-ms": config.execStartMs,
    "termination-grace-ms": config.terminationGraceMs,
    "kill-wait-ms": config.killWaitMs,
    "resume-window-ms": config.resumeWindowMs,
    "connection-idle-ms": config.connectionIdleMs,
  });
  return without.has("session-fanout") ? [...args, "--test-without", "session-fanout"] : args;
}

export function supervisorArgs(config: LabConfig, without: ReadonlySet<Backstop>): string[] {
  const unless = (backstop: Backstop, ms: number) => (without.has(backstop) ? 0 : ms);
  return flags({
    "keepalive-interval-ms": unless("keepalive", config.keepaliveIntervalMs),
    "keepalive-timeout-ms": config.keepaliveTimeoutMs,
    "heartbeat-missed": unless("heartbeat", config.supervisorHeartbeatMissed),
    "ssh-keepalive-interval-ms": unless("ssh-keepalive", config.sshKeepaliveIntervalMs),
    "ssh-keepalive-missed": config.sshKeepaliveMissed,
    "termination-grace-ms": config.terminationGraceMs,
    "kill-wait-ms": config.killWaitMs,
    "orphan-window-ms": config.orphanWindowMs,
    "exec-retention-ms": config.execRetentionMs,
    "exec-form": config.form,
    "connect-timeout-ms": 3_000,
    "session-accept-timeout-ms": 3_000,
    "reconnect-min-ms": 50,
    "reconnect-max-ms": 1_000,
  });
}

function flags(settings: Record<string, number | string>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/** How long a path may be silent before it is given up. */
export function keepaliveMs(config: LabConfig): number {
  return config.keepaliveIntervalMs + config.keepaliveTimeoutMs;
}

/** How long a gateway takes at most to reach a sandbox, or to say that it does not. */
export function reachMs(config: LabConfig): number {
  const { sessionWaitMs, relayWaitMs, sshReadyMs, execStartMs } = config;
  const steps = sessionWaitMs + relayWaitMs + sshReadyMs + execStartMs;
  return config.form === "plain" ? steps : steps + execAnswerMs;
}

export function clientLimits(config: LabConfig) {
  return {
    startWindowMs: config.clientStartWindowMs,
    resumeWindowMs: config.clientResumeWindowMs,
    backoff: { minMs: 50, maxMs: 1_000 },
    callMs: reachMs(config),
    keepaliveIntervalMs: config.heartbeatIntervalMs,
    keepaliveMissed: config.heartbeatMissed,
    cancelMs: config.terminationGraceMs + config.killWaitMs + config.clientResumeWindowMs,
  } satisfies Partial<ClientLimits>;
}
