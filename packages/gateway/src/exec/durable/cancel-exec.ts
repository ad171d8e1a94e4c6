// cancel-exec.ts: ends an exec's whole tree.
import { BelayError } from "@belay/protocol";
import type { ExecInfo } from "@belay/protocol";
import { waitAtMost } from "@belay/relay-core";
import type { Log } from "@belay/program";
import { askSupervisor } from "./ask-supervisor.ts";
import type { ConversationDeps } from "./over-conversations.ts";

export interface ExecName {
  readonly sandboxId: string;
  readonly execId: string;
}

/**
 * The exec, when it is gone; undefined of one that is not known, whose id is fenced from now on.
 * @throws BelayError `termination_unconfirmed`; see askSupervisor.
 */
export async function cancelExec(
  exec: ExecName,
  deps: ConversationDeps,
  { signal }: { signal: AbortSignal },
): Promise<ExecInfo | undefined> {
  const { terminationGraceMs, killWaitMs } = deps.limits;
  const { payload } = await askSupervisor(
    {
      ...exec,
      frame: () => ({ case: "cancel", value: {} }),
      again: "nothing",
      takesMs: () => terminationGraceMs + killWaitMs,
      lateKind: "termination_unconfirmed",
    },
    deps,
    { signal },
  );
  if (payload.case !== "info") throw wrongAnswer("cancel", payload.case);
  return payload.value.execId === "" ? undefined : payload.value;
}

/** For an exec whose client is gone: nobody waits for it. Bounded, also over a lost way. */
export async function cancelBehindTheBack(
  exec: ExecName,
  deps: ConversationDeps & { readonly log: Log },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { terminationGraceMs, killWaitMs, resumeWindowMs } = deps.limits;
  const wait = {
    what: "end of a canceled exec",
    limitMs: terminationGraceMs + killWaitMs + resumeWindowMs,
    kind: "termination_unconfirmed",
  } as const;
  try {
    const work = (waiting: AbortSignal) => cancelExec(exec, deps, { signal: waiting });
    await waitAtMost(wait, deps.clock, work, { signal });
  } catch (error) {
    deps.log.warn("exec.cancel_failed", { err: error });
  }
}

/** An answer that is none to what was asked. */
export function wrongAnswer(question: string, answer: string | undefined): BelayError {
  const message = `the supervisor broke the protocol: ${answer ?? "nothing known"} answers ${question}`;
  return new BelayError("internal", message);
}
