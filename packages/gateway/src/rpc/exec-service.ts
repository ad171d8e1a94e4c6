// exec-service.ts: each RPC of belay.v1.ExecService: who may call it, and which feature answers.
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";
import type { ExecService } from "@belay/protocol";
import type { Authenticator } from "../auth/authenticator.ts";
import { callAbort } from "../exec/call-abort.ts";
import {
  cancelExecCall,
  getExec,
  listExecs,
  resizeExec,
  signalExec,
  startExec,
  waitExec,
} from "../exec/durable/exec-calls.ts";
import { followExec } from "../exec/durable/follow-exec.ts";
import type { FollowExecDeps } from "../exec/durable/follow-exec.ts";
import { getSupervisor } from "../exec/durable/get-supervisor.ts";
import { writeStdin } from "../exec/durable/write-stdin.ts";
import type { ExecAdmission } from "../exec/exec-admission.ts";
import { validateSandboxId } from "../exec/validate-exec.ts";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";

export interface ExecServiceDeps extends FollowExecDeps {
  readonly auth: Authenticator;
  readonly store: SandboxStore;
  /** Of calls, however long their execs run. */
  readonly calls: ExecAdmission;
}

interface InSandbox {
  readonly sandboxId: string;
}

export function execService(deps: ExecServiceDeps): ServiceImpl<typeof ExecService> {
  const { auth, store, calls, stopping } = deps;

  async function check({ sandboxId }: InSandbox, context: HandlerContext): Promise<void> {
    auth.user(context.requestHeader);
    validateSandboxId(sandboxId);
    if (await store.findById(sandboxId)) return;
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }

  /** A method that `answer` answers, while its caller is there and the gateway serves. */
  function unary<Request extends InSandbox, Response>(
    answer: (
      request: Request,
      deps: ExecServiceDeps,
      options: { signal: AbortSignal },
    ) => Promise<Response>,
  ) {
    return async (request: Request, context: HandlerContext): Promise<Response> => {
      await check(request, context);
      using _ = calls.admit(request.sandboxId);
      using abort = callAbort(context.signal, stopping);
      return await answer(request, deps, { signal: abort.signal });
    };
  }

  return {
    startExec: unary(startExec),
    async *followExec(request, context) {
      await check(request, context);
      const admit = () => calls.admit(request.sandboxId);
      yield* followExec(request, deps, { signal: context.signal, admit });
    },
    writeStdin: unary(writeStdin),
    signalExec: unary(signalExec),
    resizeExec: unary(resizeExec),
    getExec: unary(getExec),
    waitExec: unary(waitExec),
    getSupervisor: unary(getSupervisor),
    listExecs: unary(listExecs),
    cancelExec: unary(cancelExecCall),
  };
}
