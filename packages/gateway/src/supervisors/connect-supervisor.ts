// connect-supervisor.ts: the ConnectSupervisor RPC: hello, then messages both ways until one side ends.
import { BelayError } from "@belay/protocol";
import type { GatewayMessage, SupervisorMessage } from "@belay/protocol";
import { exchangeHeartbeats, TaskScope, waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { Log } from "@belay/program";
import type { SandboxClaims } from "../auth/sandbox-tokens.ts";
import type { GatewayLimits } from "../limits.ts";
import type { RelayBroker } from "../relays/relay-broker.ts";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import type { SessionRegistry } from "./session-registry.ts";
import { SupervisorSession } from "./supervisor-session.ts";

export interface ConnectSupervisorDeps {
  readonly store: SandboxStore;
  readonly sessions: SessionRegistry;
  readonly relays: RelayBroker;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Sessions outlive the generators of their RPCs: their tasks run here. */
  readonly scope: TaskScope;
}

/** @param signal aborts when the RPC's stream is gone, however it went. */
export async function* connectSupervisor(
  messages: AsyncIterable<SupervisorMessage>,
  claims: SandboxClaims,
  deps: ConnectSupervisorDeps,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<GatewayMessage> {
  const { limits } = deps;
  const received = messages[Symbol.asyncIterator]();
  const session = await acceptHello(received, claims, deps, { signal });
  const log = deps.log.child({ sandboxId: session.sandboxId, sessionId: session.id });

  session.send({
    case: "sessionAccepted",
    value: {
      sessionId: session.id,
      heartbeatIntervalSecs: Math.ceil(limits.heartbeat.intervalMs / 1_000),
      heartbeatIntervalMs: limits.heartbeat.intervalMs,
    },
  });
  deps.sessions.add(session);
  log.info("session.accepted", { instanceId: session.instanceId });

  session.ended.addEventListener("abort", () => {
    const reason = session.ended.reason as BelayError;
    log.info("session.ended", { kind: reason.kind, reason: reason.message });
  });
  deps.scope.run((scopeSignal) => superviseSession(session, received, deps, [signal, scopeSignal]));
  yield* session.outbox;
}

async function acceptHello(
  received: AsyncIterator<SupervisorMessage>,
  claims: SandboxClaims,
  deps: ConnectSupervisorDeps,
  { signal }: { signal: AbortSignal },
): Promise<SupervisorSession> {
  const wait = {
    what: "supervisor hello",
    limitMs: deps.limits.firstMessageMs,
    kind: "protocol_violation",
  } as const;
  const first = await waitAtMost(wait, deps.clock, () => received.next(), { signal });
  const helloAtMs = deps.clock.now();
  const hello = first.done ? undefined : first.value.payload;
  if (hello?.case !== "hello") {
    throw new BelayError("protocol_violation", "first message must be hello");
  }
  if (hello.value.sandboxId !== claims.sandboxId) {
    throw new BelayError("permission_denied", "the token is for another sandbox than the hello's");
  }
  const known = await deps.store.ensure(claims.sandboxName, claims.sandboxId);
  if (known.id !== claims.sandboxId) {
    throw new BelayError("sandbox_not_found", "the token's sandbox was replaced by a newer one");
  }
  return new SupervisorSession(
    {
      sandboxId: claims.sandboxId,
      instanceId: hello.value.instanceId,
      startedByMs: helloAtMs - Number(hello.value.uptimeMs),
      features: new Set(hello.value.features),
    },
    { outboxMessages: deps.limits.sessionOutboxMessages },
  );
}

/** Ends the session with the first of: its stream gone, the supervisor silent, the gateway stopping. */
async function superviseSession(
  session: SupervisorSession,
  received: AsyncIterator<SupervisorMessage>,
  deps: ConnectSupervisorDeps,
  signals: AbortSignal[],
): Promise<void> {
  const ids = { sandboxId: session.sandboxId, sessionId: session.id };
  const lost = (message: string, cause?: unknown) =>
    session.end(new BelayError("session_lost", message, { ids, cause }));
  const onAbort = () => lost("supervisor connection lost");
  for (const signal of signals) {
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
  }
  try {
    await using tasks = new TaskScope("session", { signal: session.ended });
    tasks.run(async () => {
      for (let next = await received.next(); !next.done; next = await received.next()) {
        session.messagesReceived += 1;
        handleMessage(next.value, session, deps);
      }
      lost("supervisor ended its session");
    });
    tasks.run((signal) =>
      exchangeHeartbeats(
        {
          name: "supervisor",
          received: () => session.messagesReceived,
          send: () => session.send({ case: "heartbeat", value: {} }),
        },
        deps.limits.heartbeat,
        deps.clock,
        { signal },
      ),
    );
    await whenAborted(tasks.signal);
    if (tasks.failure !== undefined) lost(describe(tasks.failure), tasks.failure);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", onAbort);
  }
}

function handleMessage(
  message: SupervisorMessage,
  session: SupervisorSession,
  deps: ConnectSupervisorDeps,
): void {
  const { payload } = message;
  switch (payload.case) {
    case "heartbeat":
      return;
    case "relayOpenResult":
      if (!payload.value.success) {
        deps.relays.refused(payload.value.channelId, payload.value.error, session);
      }
      return;
    case "relayClose":
      return deps.relays.closedBySupervisor(payload.value.channelId, payload.value.reason, session);
    case "hello":
      throw new BelayError("protocol_violation", "hello is the first message, and only that");
    case undefined:
      return; // a message of a newer supervisor
    default:
      payload satisfies never;
  }
}

function describe(error: unknown): string {
  return error instanceof BelayError ? error.message : "supervisor connection lost";
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
