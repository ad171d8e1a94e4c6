// forward-tcp.ts: the ForwardTcp RPC: read the first frame, check its token, start the forward, pass its
// bytes on.
import { BelayError } from "@belay/protocol";
import type { TcpForwardFrame } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";
import type { TaskScope } from "@belay/relay-core";
import { firstMessage } from "../rpc/caller-messages.ts";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import type { ForwardAdmission } from "./forward-admission.ts";
import { ForwardEnd } from "./forward-end.ts";
import { readForwardInit } from "./forward-init.ts";
import { runForward } from "./run-forward.ts";
import type { RunForwardDeps } from "./run-forward.ts";
import type { SshSessions } from "./ssh-sessions.ts";

export interface ForwardTcpDeps extends RunForwardDeps {
  readonly store: SandboxStore;
  readonly sshSessions: SshSessions;
  readonly forwards: ForwardAdmission;
  readonly scope: TaskScope;
  /** Aborts, with the reason, when the gateway stops waiting for what runs. */
  readonly stopping: AbortSignal;
}

/** @param signal aborts when the client canceled, passed its deadline, or is gone. */
export async function* forwardTcp(
  frames: AsyncIterable<TcpForwardFrame>,
  deps: ForwardTcpDeps,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<TcpForwardFrame> {
  const received = frames[Symbol.asyncIterator]();
  const init = readForwardInit(
    await firstMessage(received, "first TcpForwardFrame", deps, { signal }),
  );
  if (!(await deps.store.findById(init.sandboxId))) {
    throw new BelayError("sandbox_not_found", "sandbox not found");
  }
  if (init.token === "") {
    throw new BelayError("unauthenticated", "authorization_token is required for ForwardTcp");
  }
  const session = deps.sshSessions.find(init.token, init.sandboxId);
  const admitted = deps.forwards.admit(session, init.target.case);
  const outgoing = new Handoff<TcpForwardFrame>();
  deps.scope.run(async () => {
    using _ = admitted;
    using end = new ForwardEnd({ caller: signal, others: [session.ended, deps.stopping] });
    await runForward(init, received, outgoing, deps, end);
  });
  yield* outgoing;
}
