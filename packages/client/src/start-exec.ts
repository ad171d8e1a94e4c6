// start-exec.ts: starts a command once, however often it has to be asked for.
import { BelayError } from "@belay/protocol";
import type { ClientContext } from "./context.ts";
import { ExecHandle } from "./exec-handle.ts";
import { toSpec } from "./exec-spec.ts";
import type { StartOptions } from "./exec-spec.ts";
import { unaryCall } from "./unary-call.ts";

/**
 * The id is chosen here, so that a start whose answer was lost can be asked for again. An abort takes
 * the start back: either it has run and was canceled, or it can no longer run.
 * @throws BelayError, or the signal's reason.
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
  try {
    await unaryCall((call) => context.execs.startExec(request, call), {
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
