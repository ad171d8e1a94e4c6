// exec-sandbox.ts: the ExecSandbox and ExecSandboxInteractive RPCs: check the request, start the exec,
// pass its events on.
import { randomUUID } from "node:crypto";
import { BelayError, EXEC_ID_HEADER } from "@belay/protocol";
import type { ExecSandboxEvent, ExecSandboxInput, ExecSandboxRequest } from "@belay/protocol";
import { Handoff, TaskScope, waitAtMost } from "@belay/relay-core";
import { callersFailure, firstMessage } from "../rpc/caller-messages.ts";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import { callAbort } from "./call-abort.ts";
import { readInput, readStart } from "./client-input.ts";
import type { ExecAdmission } from "./exec-admission.ts";
import { ExecInput } from "./exec-input.ts";
import { runExec } from "./run-exec.ts";
import type { Exec, RunExecDeps } from "./run-exec.ts";
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

export function execSandbox(
  request: ExecSandboxRequest,
  deps: ExecSandboxDeps,
  context: ExecSandboxContext,
): AsyncGenerator<ExecSandboxEvent> {
  return execute({ request, input: ExecInput.whole(request.stdin) }, deps, context);
}

/** Its `stdin` counts as the first bytes of the input. */
export async function* execSandboxInteractive(
  messages: AsyncIterable<ExecSandboxInput>,
  deps: ExecSandboxDeps,
  context: ExecSandboxContext,
): AsyncGenerator<ExecSandboxEvent> {
  const received = messages[Symbol.asyncIterator]();
  const first = await firstMessage(received, "start of an interactive exec", deps, context);
  const request = readStart(first);
  const input = new ExecInput({ first: request.stdin, maxBytes: deps.limits.stdinBytes });
  yield* execute({ request, input }, deps, context, (signal) =>
    readInput(received, input, deps, { signal }),
  );
}

/** @param feed brings the input that comes while the exec runs; its failure ends the exec. */
async function* execute(
  exec: Omit<Exec, "id">,
  deps: ExecSandboxDeps,
  { signal, responseHeader }: ExecSandboxContext,
  feed: (signal: AbortSignal) => Promise<void> = () => Promise.resolve(),
): AsyncGenerator<ExecSandboxEvent> {
  const { sandboxId } = exec.request;
  validateExec(exec.request, deps.limits);
  if (!(await deps.store.findById(sandboxId))) {
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }
  const admitted = deps.admission.admit(sandboxId);
  const events = new Handoff<ExecSandboxEvent>();
  const id = randomUUID();
  responseHeader.set(EXEC_ID_HEADER, id);
  deps.scope.run(async (background) => {
    using abort = callAbort(signal, deps.stopping);
    await using feeding = new TaskScope("input of an exec's client", {
      signal: abort.signal,
      onFailure: (error) => abort.abort(callersFailure(error)),
    });
    feeding.run(feed);
    {
      using _ = admitted;
      await runExec({ id, ...exec }, events, deps, { signal: abort.signal, background });
    }
    // A client that sends on gets to its end, and to the exit: some write all before they read. Once
    // the RPC has answered, its signal aborts by itself, and says nothing of the client.
    abort[Symbol.dispose]();
    const wait = {
      what: "end of an exec's input",
      limitMs: deps.limits.requestLingerMs,
      kind: "deadline_exceeded",
    } as const;
    await waitAtMost(wait, deps.clock, () => feeding.idle(), { signal: background }).catch(
      () => {},
    );
  });
  yield* events;
}
