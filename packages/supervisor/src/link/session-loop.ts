// session-loop.ts: keeps a session with the gateway: connects, and connects again, for as long as the
// supervisor runs.
import type { TaskScope } from "@belay/relay-core";
import { backoffMs, failuresAfter, sleep } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import { BelayError } from "@belay/protocol";
import type { ErrorKind, SupervisorFeature } from "@belay/protocol";
import type { Log } from "@belay/program";
import type { SupervisorLimits } from "../limits.ts";
import { createGatewayClient } from "./gateway-client.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { PinnedConnection } from "./pinned-connection.ts";
import { readSandboxToken, sandboxIdOf } from "./sandbox-token.ts";
import type { TokenSource } from "./sandbox-token.ts";
import { GatewaySession } from "./gateway-session.ts";
import type { SessionRelays } from "./gateway-session.ts";
import { readTlsFiles } from "./tls-files.ts";
import type { TlsFiles } from "./tls-files.ts";

export interface SessionLoopOptions {
  readonly gateway: URL;
  readonly token: TokenSource;
  readonly tls: TlsFiles;
  /** `undefined`: the one that the token names. */
  readonly sandboxId: string | undefined;
  readonly instanceId: string;
  /** When this instance was started, on `clock`. */
  readonly startedAtMs: number;
  /** What we offer beyond the OpenShell contract. */
  readonly features: readonly SupervisorFeature[];
  readonly version: string;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
  /** Makes what handles the relays of a session that was accepted. */
  readonly openRelays: (session: AcceptedSession) => SessionRelays;
}

export interface AcceptedSession {
  readonly session: GatewaySession;
  readonly client: GatewayClient;
  readonly tasks: TaskScope;
  readonly log: Log;
}

/** Runs until `stop` aborts, and never fails: what a session ends with is logged, and tried again. */
export async function runSessionLoop(
  options: SessionLoopOptions,
  { stop }: { stop: AbortSignal },
): Promise<void> {
  const { limits, clock, log, random = Math.random } = options;
  let failures = 0;
  while (!stop.aborted) {
    const attempt: Attempt = { acceptedAtMs: undefined };
    const end = await runOneSession(options, attempt, { stop });
    if (stop.aborted) return;

    const lastedMs = clock.now() - (attempt.acceptedAtMs ?? clock.now());
    failures = failuresAfter(failures, lastedMs, limits.reconnect);
    const delayMs = LONGEST_DELAY_FIRST.has(end.kind)
      ? limits.reconnect.maxMs
      : backoffMs(failures - 1, limits.reconnect, random());
    logEnd(log, end, { accepted: attempt.acceptedAtMs !== undefined, lastedMs, delayMs });
    await sleep(delayMs, clock, stop).catch(() => {}); // the loop's condition says why
  }
}

/**
 * Ends that the next attempt cannot change by itself. Somebody else took over: two supervisors of one
 * sandbox must not chase each other. Or we were refused: until the token file is replaced.
 */
const LONGEST_DELAY_FIRST: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  "permission_denied",
  "sandbox_not_found",
  "session_superseded",
  "unauthenticated",
  "unimplemented",
]);

interface Attempt {
  acceptedAtMs: number | undefined;
}

async function runOneSession(
  options: SessionLoopOptions,
  attempt: Attempt,
  { stop }: { stop: AbortSignal },
): Promise<BelayError> {
  const { limits, clock, gateway, log } = options;
  let connection: PinnedConnection | undefined;
  try {
    const { instanceId, startedAtMs, features, version } = options;
    const token = await readSandboxToken(options.token);
    const sandboxId = options.sandboxId ?? sandboxIdOf(token);
    connection = await PinnedConnection.open(
      {
        gateway,
        tls: await readTlsFiles(options.tls),
        keepalive: limits.http2Keepalive,
        connectMs: limits.connectMs,
        socketCloseMs: limits.socketCloseMs,
        clock,
      },
      { signal: stop },
    );
    const client = createGatewayClient(connection, token, limits);
    const uptimeMs = Math.floor(clock.now() - startedAtMs);
    const session = new GatewaySession({
      client,
      hello: { sandboxId, instanceId, uptimeMs, features, version },
      limits,
      clock,
      connectionClosed: connection.closed,
      onAccepted: (accepted, sessionId, tasks) => {
        attempt.acceptedAtMs = clock.now();
        const ids = { sandboxId, sessionId };
        log.info("supervisor.ready", { ...ids, gateway: gateway.origin });
        return options.openRelays({ session: accepted, client, tasks, log: log.child(ids) });
      },
    });
    await session.run({ stop });
    return new BelayError("supervisor_stopping", "supervisor is stopping");
  } catch (error) {
    if (error instanceof BelayError) return error;
    return new BelayError("session_lost", "no session with the gateway", { cause: error });
  } finally {
    connection?.close();
  }
}

function logEnd(
  log: Log,
  end: BelayError,
  { accepted, lastedMs, delayMs }: { accepted: boolean; lastedMs: number; delayMs: number },
): void {
  const fields = {
    reason: end.message,
    err: end,
    ...(accepted && { lastedMs: Math.round(lastedMs) }),
    retryInMs: delayMs,
  };
  switch (end.kind) {
    case "unauthenticated":
    case "permission_denied":
    case "sandbox_not_found":
      return log.error("session.refused", {
        ...fields,
        todo: "put a valid token of this sandbox into the token file; it is read at each attempt",
      });
    case "unimplemented":
      return log.error("session.refused", { ...fields, todo: "check the address of the gateway" });
    case "session_superseded":
      return log.error("session.superseded", {
        ...fields,
        todo: "another supervisor serves this sandbox: stop one of the two",
      });
    default:
      return accepted ? log.warn("session.lost", fields) : log.warn("session.failed", fields);
  }
}
