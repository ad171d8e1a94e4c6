// explain-failure.ts: what went wrong, for people or for a program, and what to do next.
import { BelayError, ClientError } from "@belay/client";
import type { ErrorIds } from "@belay/client";

type Failure = BelayError | ClientError;

/** Lines for people. */
export function explainFailure(error: unknown): string {
  if (!isFailure(error)) return `${error instanceof Error ? error.message : String(error)}\n`;
  return `${error.message} (${error.kind})\n  ${nextStep(error)}\n`;
}

/** One line of JSON for programs. */
export function failureJson(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!isFailure(error)) return `${JSON.stringify({ error: { message } })}\n`;
  const { kind, outcome, retry, ids } = error;
  return `${JSON.stringify({ error: { kind, outcome, retry, ...ids, message } })}\n`;
}

function isFailure(error: unknown): error is Failure {
  return error instanceof BelayError || error instanceof ClientError;
}

function nextStep(error: Failure): string {
  return byKind(error) ?? byAdvice(error);
}

function byKind({ kind, outcome, ids }: Failure): string | undefined {
  switch (kind) {
    case "unauthenticated":
    case "permission_denied":
      return "Give a token that the gateway accepts: --token-file, BELAY_TOKEN_FILE or BELAY_TOKEN.";
    case "session_lost":
      if (outcome !== "not_started") return undefined;
      return "Nothing ran. Is a gateway running there? Settings: --gateway (BELAY_GATEWAY), --tls-ca (BELAY_TLS_CA).";
    case "sandbox_not_found":
      return "`belay sandboxes` lists those that there are.";
    case "session_wait_timeout":
      if (outcome !== "not_started") return undefined;
      return "Nothing ran. The sandbox's supervisor is not connected; `belay sandboxes` shows when it is ready.";
    case "exec_not_found":
      return `\`belay ps ${ids.sandboxId ?? "SANDBOX"}\` lists the execs that are known; they are kept for a while after their end.`;
    case "exec_ended":
      return `It has ended: ${followLine(ids)} shows how.`;
    case "termination_unconfirmed":
      return `It may still run: \`belay cancel ${target(ids)}\` asks again.`;
    case "unimplemented":
      return "The gateway, or the sandbox's supervisor, is too old for this: update it.";
    case "output_mismatch":
      return `What was shown is not what the command wrote. Look again: ${followLine(ids)}.`;
    default:
      return undefined;
  }
}

function byAdvice({ retry, ids }: Failure): string {
  switch (retry) {
    case "now":
      return "Nothing ran: run it again.";
    case "later":
      return "Nothing ran: run it again in a moment.";
    case "never":
      return "Nothing ran, and the same will fail again: change it.";
    case "follow":
      return `The command may have run: look at it with ${followLine(ids)} before you run it again.`;
  }
}

function followLine(ids: ErrorIds): string {
  return `\`belay follow ${target(ids)}\``;
}

function target({ sandboxId = "SANDBOX", execId = "EXEC" }: ErrorIds): string {
  return `${sandboxId} ${execId}`;
}
