// exec-sandbox.ts: the ExecSandbox RPC: check the request, start the exec, pass its events on.
import { randomUUID } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";
import type { ExecSandboxEvent, ExecSandboxRequest } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";
import type { TaskScope } from "@belay/relay-core";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import type { ExecAdmission } from "./exec-admission.ts";
import { runExec } from "./run-exec.ts";
import type { RunExecDeps } from "./run-exec.ts";
import { validateExec } from "./validate-exec.ts";

export interface ExecSandboxDeps extends RunExecDeps {
  readonly store: SandboxStore;
  readonly admission: ExecAdmission;
  readonly scope: TaskScope;
  /** Aborts, with the reason, when the gateway stops waiting for its execs. */
  readonly stopping: AbortSignal;
}

/** @param signal aborts when the client canceled, passed its deadline, or is gone. */
export async function* execSandbox(
  request: ExecSandboxRequest,
  deps: ExecSandboxDeps,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<ExecSandboxEvent> {
  validateExec(request, deps.limits);
  if (!(await deps.store.findById(request.sandboxId))) {
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }
  const admitted = deps.admission.admit(request.sandboxId);
  const events = new Handoff<ExecSandboxEvent>();
  deps.scope.run(async () => {
    using _ = admitted;
    using abort = abortWhenUnwanted(signal, deps.stopping);
    await runExec({ id: randomUUID(), request }, events, deps, { signal: abort.signal });
  });
  yield* events;
}

/** One signal for both ends of an exec's right to run, with a BelayError as its reason. */
function abortWhenUnwanted(caller: AbortSignal, stopping: AbortSignal) {
  const controller = new AbortController();
  const onCaller = () => controller.abort(callerGone(caller.reason));
  const onStopping = () => controller.abort(stopping.reason);
  if (caller.aborted) onCaller();
  if (stopping.aborted) onStopping();
  caller.addEventListener("abort", onCaller);
  stopping.addEventListener("abort", onStopping);
  return Object.assign(controller, {
    [Symbol.dispose]() {
      caller.removeEventListener("abort", onCaller);
      stopping.removeEventListener("abort", onStopping);
    },
  });
}

/** A cancel and a lost connection look alike here (library hazard), and mean the same to the exec. */
function callerGone(reason: unknown): BelayError {
  const deadline = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return deadline
    ? new BelayError("deadline_exceeded", "the caller's deadline passed", { cause: reason })
    : new BelayError("canceled", "the caller canceled or is gone", { cause: reason });
}
