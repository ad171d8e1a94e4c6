// start-exec.ts: starts a command once, however often it has to be asked for.
import type { CallOptions } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";
import type { ClientContext } from "./context.ts";
import { ExecHandle } from "./exec-handle.ts";
import { toSpec } from "./exec-spec.ts";
import type { StartOptions } from "./exec-spec.ts";
import { didNothing } from "./path-failure.ts";
import { unaryCall } from "./unary-call.ts";

/**
 * The id is chosen here, so that a start whose answer was lost can be asked for again. An abort takes
 * the start back: either it has run and was canceled, or it can no longer run.
 * @throws BelayError, among them `exec_lost` when a supervisor that may have run it was replaced; or the
 * signal's reason.
 */
export async function startExec(
  sandboxId: string,
  command: readonly string[],
  options: StartOptions & { readonly stdin: boolean },
  context: ClientContext,
  signal: AbortSignal,
): Promise<ExecHandle> {
  signal.throwIfAborted();
  const ids = { sandboxId, execId: options.execId ?? crypto.randomUUID() };
  const request = { ...ids, spec: toSpec(command, options) };
  /** Since when a supervisor may have heard of it. */
  let askedAtMs: number | undefined;
  const start = async (call: CallOptions) => {
    const isFirst = askedAtMs === undefined;
    const supervisorInstanceId =
      askedAtMs === undefined ? "" : await supervisorSince(askedAtMs, sandboxId, context, call);
    askedAtMs ??= context.clock.now();
    try {
      await context.execs.startExec({ ...request, supervisorInstanceId }, call);
    } catch (error) {
      if (isFirst && didNothing(error)) askedAtMs = undefined;
      throw error;
    }
  };
  try {
    await unaryCall(start, {
      context,
      what: `start of exec ${ids.execId}`,
      windowMs: () => context.limits.startWindowMs,
      isStarted: false,
      ids,
      signal,
    });
  } catch (error) {
    if (signal.aborted) await takeBack(new ExecHandle(ids, context, { isNew: false }), error);
    throw error;
  }
  return new ExecHandle(ids, context, { isNew: true });
}

/**
 * The supervisor that every request since then has gone to, if it went to any: another one would not know
 * what was started before it. So the uptime of the one that is there is compared, which was told in an
 * answer: it was not shorter when the answer came.
 * @throws BelayError `exec_lost`.
 */
async function supervisorSince(
  sinceMs: number,
  sandboxId: string,
  { execs, clock }: ClientContext,
  call: CallOptions,
): Promise<string> {
  const { instanceId, uptimeMs } = await execs.getSupervisor({ sandboxId }, call);
  if (Number(uptimeMs) >= clock.now() - sinceMs) return instanceId;
  const message =
    "the start went unanswered, and the sandbox's supervisor may be another one since";
  throw new BelayError("exec_lost", message);
}

/** @throws BelayError `termination_unconfirmed` when nobody confirms that it no longer runs. */
export async function takeBack(exec: ExecHandle, cause: unknown): Promise<void> {
  try {
    await exec.cancel();
  } catch (failure) {
    const { sandboxId, execId } = exec;
    throw new BelayError("termination_unconfirmed", `exec ${execId} may still run`, {
      outcome: "unknown",
      ids: { sandboxId, execId },
      cause: new AggregateError([cause, failure], "canceled, but not confirmed"),
    });
  }
}
