// exec-sandbox.ts: the ExecSandbox RPC: check the request, start the exec, pass its events on.
import { randomUUID } from "node:crypto";
import { BelayError } from "@belay/protocol";
import type { ExecSandboxEvent, ExecSandboxRequest } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";
import type { TaskScope } from "@belay/relay-core";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import { callAbort } from "./call-abort.ts";
import type { ExecAdmission } from "./exec-admission.ts";
import { ExecInput } from "./exec-input.ts";
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

export interface ExecSandboxContext {
  /** Aborts when the client canceled, passed its deadline, or is gone. */
  readonly signal: AbortSignal;
  /** Goes out with the first message. */
  readonly responseHeader: Headers;
}

/** Tells the exec's id before its end, so that a client that loses the gateway knows what to follow. */
const EXEC_ID_HEADER = "belay-exec-id";

export async function* execSandbox(
  request: ExecSandboxRequest,
  deps: ExecSandboxDeps,
  { signal, responseHeader }: ExecSandboxContext,
): AsyncGenerator<ExecSandboxEvent> {
  validateExec(request, deps.limits);
  if (!(await deps.store.findById(request.sandboxId))) {
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }
  const admitted = deps.admission.admit(request.sandboxId);
  const events = new Handoff<ExecSandboxEvent>();
  const exec = { id: randomUUID(), request, input: ExecInput.whole(request.stdin) };
  responseHeader.set(EXEC_ID_HEADER, exec.id);
  deps.scope.run(async (background) => {
    using _ = admitted;
    using abort = callAbort(signal, deps.stopping);
    await runExec(exec, events, deps, { signal: abort.signal, background });
  });
  yield* events;
}
