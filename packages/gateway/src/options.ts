// options.ts: what may be said on belay-gateway's command line or in its environment.
import {
  choice,
  command,
  hostPort,
  integer,
  listOf,
  logLevelOption,
  option,
  path,
  text,
  url,
} from "@belay/program";
import type { OptionValues } from "@belay/program";
import { isSandboxName } from "@belay/protocol";
import { configProblems } from "./config.ts";
import type { GatewayConfig } from "./config.ts";
import { defaultLimits as limits } from "./limits.ts";
import type { GatewayLimits } from "./limits.ts";

const LIVENESS = "Liveness (0 switches a backstop off)";
const WAITS = "Waits";
const CAPS = "Caps";

const dataDir = option(path("dir"), {
  env: ["BELAY_DATA_DIR"],
  required: true,
  help: "holds the signing key and the known sandboxes",
});

/** A duration in milliseconds whose variable is `BELAY_` and its flag. */
function duration(env: string, group: string, help: string, fallback: number, min = 0) {
  return option(integer({ min, max: 86_400_000, unit: "ms" }), {
    env: [env],
    group,
    help,
    default: fallback,
  });
}

function cap(env: string, help: string, fallback: number) {
  return option(integer({ min: 1, max: 1_000_000 }), {
    env: [env],
    group: CAPS,
    help,
    default: fallback,
  });
}

const serveOptions = {
  listen: option(hostPort(), {
    env: ["BELAY_LISTEN"],
    default: { host: "127.0.0.1", port: 17_670 },
    help: "where; any address but loopback needs TLS and user tokens",
  }),
  dataDir,
  tlsCert: option(path("file"), { env: ["BELAY_TLS_CERT"], help: "PEM, the chain, leaf first" }),
  tlsKey: option(path("file"), { env: ["BELAY_TLS_KEY"], help: "PEM" }),
  userTokens: option(path("file"), {
    env: ["BELAY_USER_TOKENS"],
    help: "lines of SUBJECT TOKEN; without it callers on loopback need no token",
  }),
  publicUrl: option(url(), {
    env: ["BELAY_PUBLIC_URL"],
    help: "where clients reach this gateway, as SSH sessions tell them; default: where they called",
  }),
  allowOrigins: option(listOf(url()), {
    env: ["BELAY_ALLOW_ORIGINS"],
    help: "web pages of these origins may call, as https://console.example; default: none",
  }),
  logLevel: logLevelOption,

  keepaliveIntervalMs: duration(
    "BELAY_KEEPALIVE_INTERVAL_MS",
    LIVENESS,
    "HTTP/2 PING after so much silence on a connection",
    limits.http2Keepalive.probeEveryMs,
  ),
  keepaliveTimeoutMs: duration(
    "BELAY_KEEPALIVE_TIMEOUT_MS",
    LIVENESS,
    "its answer is due within; then the connection is dead",
    limits.http2Keepalive.deadAfterMs - limits.http2Keepalive.probeEveryMs,
    1,
  ),
  heartbeatIntervalMs: duration(
    "BELAY_HEARTBEAT_INTERVAL_MS",
    LIVENESS,
    "heartbeats on each session, both ways",
    limits.heartbeat.intervalMs,
  ),
  heartbeatMissed: option(integer({ min: 1, max: 1_000 }), {
    env: ["BELAY_HEARTBEAT_MISSED"],
    group: LIVENESS,
    help: "so many missed in a row end the session",
    default: limits.heartbeat.missed,
  }),
  sshKeepaliveIntervalMs: duration(
    "BELAY_SSH_KEEPALIVE_INTERVAL_MS",
    LIVENESS,
    "SSH keepalive after so much silence on a relay",
    limits.sshKeepalive.probeEveryMs,
  ),
  sshKeepaliveMissed: option(integer({ min: 1, max: 1_000 }), {
    env: ["BELAY_SSH_KEEPALIVE_MISSED"],
    group: LIVENESS,
    help: "after so many intervals of silence the relay is dead",
    default: limits.sshKeepalive.deadAfterMs / limits.sshKeepalive.probeEveryMs,
  }),
  postExitWaitMs: duration(
    "BELAY_POST_EXIT_WAIT_MS",
    LIVENESS,
    "silence after an exit status before the streams are cut",
    limits.postExit.quietMs,
  ),

  sessionWaitMs: duration(
    "BELAY_SESSION_WAIT_MS",
    WAITS,
    "an exec waits for its sandbox's session",
    limits.sessionWaitMs,
  ),
  relayWaitMs: duration(
    "BELAY_RELAY_WAIT_MS",
    WAITS,
    "the supervisor opens a relay within",
    limits.relayWaitMs,
  ),
  sshReadyMs: duration("BELAY_SSH_READY_MS", WAITS, "SSH handshake on a relay", limits.sshReadyMs),
  execStartMs: duration(
    "BELAY_EXEC_START_MS",
    WAITS,
    "the sandbox accepts a command within",
    limits.execStartMs,
  ),
  connectionIdleMs: duration(
    "BELAY_CONNECTION_IDLE_MS",
    WAITS,
    "an SSH connection that execs shared is kept without one",
    limits.connectionIdleMs,
  ),
  terminationGraceMs: duration(
    "BELAY_TERMINATION_GRACE_MS",
    WAITS,
    "between TERM and KILL",
    limits.terminationGraceMs,
  ),
  killWaitMs: duration(
    "BELAY_KILL_WAIT_MS",
    WAITS,
    "the end of a killed command is confirmed within",
    limits.killWaitMs,
  ),
  resumeWindowMs: duration(
    "BELAY_RESUME_WINDOW_MS",
    WAITS,
    "a lost way to a sandbox comes back within, or its durable execs are given up",
    limits.resumeWindowMs,
  ),
  drainTimeoutMs: duration(
    "BELAY_DRAIN_TIMEOUT_MS",
    WAITS,
    "running execs may finish within, after the first stop signal",
    limits.drainTimeoutMs,
  ),

  sshSessionMs: duration(
    "BELAY_SSH_SESSION_MS",
    WAITS,
    "the token of an SSH session may be used for so long",
    limits.sshSessionMs,
    1,
  ),

  maxSessions: cap("BELAY_MAX_SESSIONS", "supervisor sessions", limits.sessions),
  maxExecs: cap("BELAY_MAX_EXECS", "execs at once", limits.execs),
  maxExecsPerSandbox: cap(
    "BELAY_MAX_EXECS_PER_SANDBOX",
    "execs at once in one sandbox",
    limits.execsPerSandbox,
  ),
  maxExecCalls: cap("BELAY_MAX_EXEC_CALLS", "calls about durable execs at once", limits.execCalls),
  maxConnectionsPerSshSession: cap(
    "BELAY_MAX_CONNECTIONS_PER_SSH_SESSION",
    "forwards at once by one SSH session's token",
    limits.connectionsPerSshSession,
  ),
  maxSshPerSandbox: cap(
    "BELAY_MAX_SSH_PER_SANDBOX",
    "SSH connections at once to one sandbox",
    limits.sshPerSandbox,
  ),
  maxForwardsPerSandbox: cap(
    "BELAY_MAX_FORWARDS_PER_SANDBOX",
    "forwards to TCP ports at once in one sandbox",
    limits.forwardsPerSandbox,
  ),
  maxPendingRelays: cap("BELAY_MAX_PENDING_RELAYS", "relays being opened", limits.pendingRelays),
  maxPendingRelaysPerSandbox: cap(
    "BELAY_MAX_PENDING_RELAYS_PER_SANDBOX",
    "relays being opened for one sandbox",
    limits.pendingRelaysPerSandbox,
  ),
  maxExecsPerConnection: cap(
    "BELAY_MAX_EXECS_PER_CONNECTION",
    "execs that share an SSH connection",
    limits.execsPerConnection,
  ),

  testWithout: option(listOf(choice(["session-fanout"])), {
    group: "Fault tests",
    help: "switches a backstop off that has no setting; on loopback only",
  }),
};

export const serveCommand = command({
  name: "serve",
  summary: "Takes calls from clients and sessions from supervisors.",
  options: serveOptions,
  examples: [
    {
      does: "On this machine, for one user:",
      line: "belay-gateway serve --data-dir ./data",
    },
    {
      does: "For others, with TLS and tokens:",
      line: "belay-gateway serve --listen 0.0.0.0:443 --data-dir /var/lib/belay --tls-cert cert.pem --tls-key key.pem --user-tokens users.txt",
    },
  ],
  check: (values) => {
    const problems: string[] = [];
    if ((values.tlsCert === undefined) !== (values.tlsKey === undefined)) {
      problems.push("--tls-cert and --tls-key go together");
    }
    return [...problems, ...configProblems(toConfig(values))];
  },
});

export const tokenCommand = command({
  name: "token",
  summary: "Prints a token for a sandbox's supervisor, and makes the sandbox known.",
  options: {
    sandbox: option(text("name"), { required: true, help: "letters, digits and inner . _ -" }),
    dataDir,
    ttlSeconds: option(integer({ min: 1, max: 10 * 365 * 86_400, unit: "s" }), {
      env: ["BELAY_TOKEN_TTL_SECONDS"],
      default: 30 * 86_400,
      help: "how long the token may be used",
    }),
  },
  examples: [
    {
      does: "Hand a sandbox its token in a file:",
      line: "belay-gateway token --sandbox build-7 --data-dir ./data > build-7.token",
    },
  ],
  check: ({ sandbox }) =>
    isSandboxName(sandbox)
      ? []
      : [
          "--sandbox must be 1 to 64 letters, digits and inner . _ -, and begin and end with a letter or digit",
        ],
});

export type ServeOptions = OptionValues<typeof serveOptions>;

export function toConfig(options: ServeOptions): GatewayConfig {
  const { tlsCert, tlsKey, userTokens } = options;
  return {
    host: options.listen.host,
    port: options.listen.port,
    dataDir: options.dataDir,
    ...(tlsCert !== undefined &&
      tlsKey !== undefined && { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    ...(userTokens !== undefined && { userTokensFile: userTokens }),
    ...(options.publicUrl && { publicUrl: options.publicUrl }),
    allowedOrigins: new Set((options.allowOrigins ?? []).map(({ origin }) => origin)),
    without: new Set(options.testWithout ?? []),
    limits: toLimits(options),
  };
}

function toLimits(options: ServeOptions): GatewayLimits {
  const keepaliveMs = options.keepaliveIntervalMs;
  return {
    ...limits,
    http2Keepalive: {
      probeEveryMs: keepaliveMs,
      deadAfterMs: keepaliveMs === 0 ? 0 : keepaliveMs + options.keepaliveTimeoutMs,
    },
    heartbeat: { intervalMs: options.heartbeatIntervalMs, missed: options.heartbeatMissed },
    sshKeepalive: {
      probeEveryMs: options.sshKeepaliveIntervalMs,
      deadAfterMs: options.sshKeepaliveIntervalMs * options.sshKeepaliveMissed,
    },
    postExit: { ...limits.postExit, quietMs: options.postExitWaitMs },
    sessionWaitMs: options.sessionWaitMs,
    relayWaitMs: options.relayWaitMs,
    sshReadyMs: options.sshReadyMs,
    execStartMs: options.execStartMs,
    connectionIdleMs: options.connectionIdleMs,
    terminationGraceMs: options.terminationGraceMs,
    killWaitMs: options.killWaitMs,
    resumeWindowMs: options.resumeWindowMs,
    drainTimeoutMs: options.drainTimeoutMs,
    sessions: options.maxSessions,
    execs: options.maxExecs,
    execsPerSandbox: options.maxExecsPerSandbox,
    execCalls: options.maxExecCalls,
    sshSessionMs: options.sshSessionMs,
    connectionsPerSshSession: options.maxConnectionsPerSshSession,
    sshPerSandbox: options.maxSshPerSandbox,
    forwardsPerSandbox: options.maxForwardsPerSandbox,
    pendingRelays: options.maxPendingRelays,
    pendingRelaysPerSandbox: options.maxPendingRelaysPerSandbox,
    execsPerConnection: options.maxExecsPerConnection,
  };
}
