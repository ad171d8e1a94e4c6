// run-exec.ts: one exec from its session to its outcome, in the form that the session's supervisor
// offers. It runs in the gateway's scope, not in the RPC: a client that vanishes takes only the reader
// of `events` along.
import { BelayError } from "@belay/protocol";
import type {
  ErrorIds,
  ExecSandboxEvent,
  ExecSandboxExit,
  ExecSandboxRequest,
  Outcome,
} from "@belay/protocol";
import type { Clock, Handoff } from "@belay/relay-core";
import type { Log } from "@belay/program";
import type { GatewayLimits } from "../limits.ts";
import type { Metrics } from "../ops/metrics.ts";
import type { RelayBroker } from "../relays/relay-broker.ts";
import type { SessionRegistry } from "../supervisors/session-registry.ts";
import type { ConversationSource } from "./durable/over-conversations.ts";
import { runDurably } from "./durable/durable-exec.ts";
import { exitEvent } from "./exec-events.ts";
import type { ExecInput } from "./exec-input.ts";
import { runPlainly } from "./plain-exec.ts";

export interface RunExecDeps {
  readonly sessions: SessionRegistry;
  readonly relays: RelayBroker;
  readonly connections: ConversationSource;
  readonly metrics: Metrics;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Exec {
  readonly id: string;
  readonly request: ExecSandboxRequest;
  readonly input: ExecInput;
}

export interface RunExecOptions {
  /** Aborts with a BelayError: the client is gone, or the gateway stops. */
  readonly signal: AbortSignal;
  /** Aborts when not even what is done behind the client's back may go on. */
  readonly background: AbortSignal;
}

/** Gives the exec's events, then ends or fails `events`; never throws. */
export async function runExec(
  exec: Exec,
  events: Handoff<ExecSandboxEvent>,
  deps: RunExecDeps,
  options: RunExecOptions,
): Promise<void> {
  const { clock, metrics } = deps;
  const { signal } = options;
  const ids: ErrorIds = { execId: exec.id, sandboxId: exec.request.sandboxId };
  const log = deps.log.child({ ...ids });
  const startedAtMs = clock.now();
  const tookMs = () => Math.round(clock.now() - startedAtMs);
  let outcome: Outcome | undefined = "not_started";

  try {
    const session = await deps.sessions.waitFor(exec.request.sandboxId, { signal });
    outcome = undefined; // each form says itself how far the exec has come
    const exit: ExecSandboxExit = session.offers("durable-exec")
      ? await runDurably(exec, events, { ...deps, log }, options)
      : await runPlainly(exec, session, events, { ...deps, log }, options);
    exec.input.close();
    outcome = "completed";
    await events.put(exitEvent(exit), { signal });
    const { exitCode, reason, outputIncomplete } = exit;
    metrics.execEnded(reason, tookMs());
    log.info("exec.ended", {
      tookMs: tookMs(),
      reason,
      exitCode,
      signal: exit.signal,
      outputIncomplete,
    });
    events.end();
  } catch (error) {
    exec.input.close();
    const failure = asBelayError(error).with({ ...(outcome && { outcome }), ids });
    events.fail(failure);
    const { kind, message: reason } = failure;
    metrics.execEnded(kind, tookMs());
    const fields = { tookMs: tookMs(), kind, outcome: failure.outcome, reason };
    log.info("exec.failed", { ...fields, err: error });
  }
}

function asBelayError(error: unknown): BelayError {
  if (error instanceof BelayError) return error;
  return new BelayError("internal", "internal error", { cause: error });
}
