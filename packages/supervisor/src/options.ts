// options.ts: what may be said on belay-supervisor's command line or in its environment.
import { choice, command, integer, logLevelOption, option, path, text, url } from "@belay/program";
import type { OptionKind, OptionValues } from "@belay/program";
import { isSandboxId, SUPERVISOR_FEATURES } from "@belay/protocol";
import type { SupervisorFeature } from "@belay/protocol";
import { defaultLimits as limits } from "./limits.ts";
import type { SupervisorLimits } from "./limits.ts";
import type { TokenSource } from "./link/sandbox-token.ts";

const TLS = "TLS, for an https gateway";
const LIVENESS = "Liveness (0 switches a backstop off)";
const WAITS = "Waits";
const EXECS = "Execs";

/** The token itself never stands in argv, where every process of the sandbox could read it. */
export const TOKEN_VARIABLES = ["BELAY_SANDBOX_TOKEN", "OPENSHELL_SANDBOX_TOKEN"] as const;

const DAY_MS = 86_400_000;

/** A duration in milliseconds whose variable is `BELAY_` and its flag. */
function duration(env: string, group: string, help: string, fallback: number, min = 0) {
  return option(integer({ min, max: DAY_MS, unit: "ms" }), {
    env: [env],
    group,
    help,
    default: fallback,
  });
}

function count(env: string, group: string, help: string, fallback: number, min = 0) {
  return option(integer({ min, max: 100_000 }), { env: [env], group, help, default: fallback });
}

function tlsFile(name: "CA" | "CERT" | "KEY", help: string) {
  return option(path("file"), {
    env: [`BELAY_TLS_${name}`, `OPENSHELL_TLS_${name}`],
    group: TLS,
    help,
  });
}

/** A duration, or `keep` for no end at all. */
function durationOrKeep(): OptionKind<number> {
  const ms = integer({ min: 0, max: DAY_MS, unit: "ms" });
  return {
    placeholder: "ms|keep",
    parse(given) {
      if (given === "keep") return { value: Number.POSITIVE_INFINITY };
      const parsed = ms.parse(given);
      return "value" in parsed ? parsed : { problem: `${parsed.problem}, or keep` };
    },
    show: (value) => (value === Number.POSITIVE_INFINITY ? "keep" : String(value)),
  };
}

const runOptions = {
  gateway: option(url(), {
    env: ["BELAY_GATEWAY", "OPENSHELL_ENDPOINT"],
    required: true,
    help: "the gateway to dial",
  }),
  tokenFile: option(path("file"), {
    env: ["BELAY_SANDBOX_TOKEN_FILE", "OPENSHELL_SANDBOX_TOKEN_FILE"],
    help: `holds the sandbox token, read at each connect; or set ${TOKEN_VARIABLES[0]}`,
  }),
  sandboxId: option(text("id"), {
    env: ["BELAY_SANDBOX_ID", "OPENSHELL_SANDBOX_ID"],
    help: "default: the one that the token names",
  }),
  logLevel: logLevelOption,

  tlsCa: tlsFile("CA", "PEM; trusted instead of the system's authorities"),
  tlsCert: tlsFile("CERT", "PEM; our own certificate"),
  tlsKey: tlsFile("KEY", "PEM; its key"),

  keepaliveIntervalMs: duration(
    "BELAY_KEEPALIVE_INTERVAL_MS",
    LIVENESS,
    "HTTP/2 PING after so much silence of the gateway",
    limits.http2Keepalive.probeEveryMs,
  ),
  keepaliveTimeoutMs: duration(
    "BELAY_KEEPALIVE_TIMEOUT_MS",
    LIVENESS,
    "its answer is due within; then the connection is dead",
    limits.http2Keepalive.deadAfterMs - limits.http2Keepalive.probeEveryMs,
    1,
  ),
  heartbeatMissed: count(
    "BELAY_HEARTBEAT_MISSED",
    LIVENESS,
    "so many of the gateway's heartbeats missed in a row end the session",
    limits.heartbeatsMissed,
  ),
  sshKeepaliveIntervalMs: duration(
    "BELAY_SSH_KEEPALIVE_INTERVAL_MS",
    LIVENESS,
    "SSH keepalive after so much silence on an exec's relay",
    limits.sshKeepalive.intervalMs,
  ),
  sshKeepaliveMissed: count(
    "BELAY_SSH_KEEPALIVE_MISSED",
    LIVENESS,
    "so many unanswered in a row end the relay",
    limits.sshKeepalive.missed,
    1,
  ),

  connectTimeoutMs: duration(
    "BELAY_CONNECT_TIMEOUT_MS",
    WAITS,
    "the gateway speaks HTTP/2 within",
    limits.connectMs,
    1,
  ),
  sessionAcceptTimeoutMs: duration(
    "BELAY_SESSION_ACCEPT_TIMEOUT_MS",
    WAITS,
    "the gateway accepts the session within",
    limits.sessionAcceptMs,
    1,
  ),
  reconnectMinMs: duration(
    "BELAY_RECONNECT_MIN_MS",
    WAITS,
    "bound of the first delay before another session; doubled each time",
    limits.reconnect.minMs,
    1,
  ),
  reconnectMaxMs: duration(
    "BELAY_RECONNECT_MAX_MS",
    WAITS,
    "bound of the longest",
    limits.reconnect.maxMs,
    1,
  ),
  sshHandshakeTimeoutMs: duration(
    "BELAY_SSH_HANDSHAKE_TIMEOUT_MS",
    WAITS,
    "SSH handshake on a relay",
    limits.sshHandshakeMs,
    1,
  ),
  tcpDialTimeoutMs: duration(
    "BELAY_TCP_DIAL_TIMEOUT_MS",
    WAITS,
    "a forward's target answers within; shorter than the gateway's --relay-wait-ms",
    limits.tcpDialMs,
    1,
  ),
  drainTimeoutMs: duration(
    "BELAY_DRAIN_TIMEOUT_MS",
    WAITS,
    "running execs may finish within, after the first stop signal; Docker kills 10 s after it",
    limits.drainTimeoutMs,
  ),

  shell: option(path("file"), {
    env: ["BELAY_SHELL"],
    group: EXECS,
    help: "runs the commands, with -c; default: $SHELL or the user's, if POSIX, else /bin/sh",
  }),
  execForm: option(choice(["durable", "plain"]), {
    env: ["BELAY_EXEC_FORM"],
    group: EXECS,
    help: "plain: offer no durable execs; a command is then lost with its connection",
    default: "durable",
  }),
  runtimeDir: option(path("dir"), {
    env: ["BELAY_RUNTIME_DIR"],
    group: EXECS,
    help: "output of durable execs goes here when it is too long for memory; default: $TMPDIR or /tmp",
  }),
  maxExecs: count("BELAY_MAX_EXECS", EXECS, "execs at once", limits.execs, 1),
  execCgroups: option(choice(["auto", "off"]), {
    env: ["BELAY_EXEC_CGROUPS"],
    group: EXECS,
    help: "a cgroup (v2) for each exec, where possible: nothing escapes its end; up to 25 ms per start",
    default: "off",
  }),
  maxTcpRelays: count("BELAY_MAX_TCP_RELAYS", EXECS, "forwards at once", limits.tcpRelays, 1),
  orphanWindowMs: option(durationOrKeep(), {
    env: ["BELAY_ORPHAN_WINDOW_MS"],
    group: EXECS,
    help: "a command whose relay broke may run on for so long",
    default: limits.orphanWindowMs,
  }),
  execRetentionMs: duration(
    "BELAY_EXEC_RETENTION_MS",
    EXECS,
    "the result and the output of a durable exec are kept for so long after its end",
    limits.retentionMs,
    1,
  ),
  terminationGraceMs: duration(
    "BELAY_TERMINATION_GRACE_MS",
    EXECS,
    "between TERM and KILL",
    limits.terminationGraceMs,
  ),
  killWaitMs: duration(
    "BELAY_KILL_WAIT_MS",
    EXECS,
    "a killed command has to be gone within",
    limits.killWaitMs,
    1,
  ),
  exitQuietMs: duration(
    "BELAY_EXIT_QUIET_MS",
    EXECS,
    "after an exit, so much silence ends an output that somebody else still holds open",
    limits.exitDrain.quietMs,
  ),
  exitDrainMs: duration(
    "BELAY_EXIT_DRAIN_MS",
    EXECS,
    "after an exit, such an output is listened to for so long at most",
    limits.exitDrain.totalMs,
  ),
};

export type RunOptions = OptionValues<typeof runOptions>;

export const runCommand = command({
  name: "run",
  summary: "Dials the gateway and runs the commands that come from it.",
  options: runOptions,
  examples: [
    {
      does: "In a sandbox:",
      line: "belay-supervisor run --gateway https://gateway.example --token-file /run/belay/token",
    },
  ],
  check: ({ sandboxId, tlsCert, tlsKey, reconnectMinMs, reconnectMaxMs }) => {
    const problems: string[] = [];
    if (sandboxId !== undefined && !isSandboxId(sandboxId)) {
      problems.push("--sandbox-id must be 1 to 128 letters, digits, . _ -");
    }
    if ((tlsCert === undefined) !== (tlsKey === undefined)) {
      problems.push("--tls-cert and --tls-key go together");
    }
    if (reconnectMinMs > reconnectMaxMs) {
      problems.push("--reconnect-min-ms must not be above --reconnect-max-ms");
    }
    return problems;
  },
});

/** A file wins, because it can be replaced. `undefined`: no token was given. */
export function toTokenSource(
  { tokenFile }: RunOptions,
  env: Readonly<Record<string, string | undefined>>,
): TokenSource | undefined {
  if (tokenFile !== undefined) return { is: "file", path: tokenFile };
  const token = TOKEN_VARIABLES.map((name) => env[name]?.trim()).find(Boolean);
  return token === undefined ? undefined : { is: "value", token };
}

export function toFeatures({ execForm }: RunOptions): readonly SupervisorFeature[] {
  if (execForm === "durable") return SUPERVISOR_FEATURES;
  return SUPERVISOR_FEATURES.filter((feature) => feature !== "durable-exec");
}

export function toLimits(options: RunOptions): SupervisorLimits {
  const keepaliveMs = options.keepaliveIntervalMs;
  return Object.freeze({
    ...limits,
    http2Keepalive: {
      probeEveryMs: keepaliveMs,
      deadAfterMs: keepaliveMs === 0 ? 0 : keepaliveMs + options.keepaliveTimeoutMs,
    },
    heartbeatsMissed: options.heartbeatMissed,
    connectMs: options.connectTimeoutMs,
    sessionAcceptMs: options.sessionAcceptTimeoutMs,
    reconnect: { minMs: options.reconnectMinMs, maxMs: options.reconnectMaxMs },
    sshKeepalive: {
      intervalMs: options.sshKeepaliveIntervalMs,
      missed: options.sshKeepaliveMissed,
    },
    sshHandshakeMs: options.sshHandshakeTimeoutMs,
    tcpDialMs: options.tcpDialTimeoutMs,
    orphanWindowMs: options.orphanWindowMs,
    retentionMs: options.execRetentionMs,
    drainTimeoutMs: options.drainTimeoutMs,
    terminationGraceMs: options.terminationGraceMs,
    killWaitMs: options.killWaitMs,
    exitDrain: {
      ...limits.exitDrain,
      quietMs: options.exitQuietMs,
      totalMs: options.exitDrainMs,
    },
    execs: options.maxExecs,
    tcpRelays: options.maxTcpRelays,
  });
}
