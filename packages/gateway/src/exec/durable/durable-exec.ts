// durable-exec.ts: the durable form of an exec of ExecSandbox: the supervisor owns it, and a lost way to
// it is a pause.
import { create } from "@bufbuild/protobuf";
import { BelayError, ExecSpecSchema, OutputStream } from "@belay/protocol";
import type {
  ExecExit,
  ExecSandboxEvent,
  ExecSandboxExit,
  ExecSandboxRequest,
  ExecSpec,
} from "@belay/protocol";
import type { Handoff } from "@belay/relay-core";
import { isCallersWish } from "../call-abort.ts";
import { durableExit, outputEvent } from "../exec-events.ts";
import type { Exec, RunExecDeps, RunExecOptions } from "../run-exec.ts";
import type { FollowedEvent } from "./attachment.ts";
import { cancelBehindTheBack } from "./cancel-exec.ts";
import { followDurably } from "./follow-durably.ts";

/**
 * Gives the exec's output, and resolves with its exit.
 *
 * When `signal` aborts, `events` fails at once. A caller that is gone cancels the exec, which is done
 * before this ends, in bounded time; a gateway that stops leaves it to whoever follows it next.
 * @throws BelayError with the outcome.
 */
export async function runDurably(
  exec: Exec,
  events: Handoff<ExecSandboxEvent>,
  deps: RunExecDeps,
  { signal, background }: RunExecOptions,
): Promise<ExecSandboxExit> {
  const { request } = exec;
  const name = { sandboxId: request.sandboxId, execId: exec.id };
  try {
    const { exit, dropped } = await followDurably(
      {
        ...name,
        spec: specOf(request),
        stdoutOffset: 0n,
        stderrOffset: 0n,
        noWait: false,
        holdsLog: true,
        input: exec.input,
        onEvent,
      },
      deps,
      { signal },
    );
    return exitOf(exit, { execId: exec.id, dropped });
  } catch (error) {
    if (!signal.aborted || !(error instanceof BelayError)) throw error;
    events.fail(error);
    if (isCallersWish(signal.reason) && error.outcome !== "not_started") {
      await cancelBehindTheBack(name, deps, { signal: background });
    }
    throw error;
  }

  async function onEvent(event: FollowedEvent): Promise<void> {
    switch (event.case) {
      case "info":
        return deps.log.info("exec.started", { durable: true });
      case "output": {
        const { data } = event.value;
        const stream = event.value.stream === OutputStream.STDOUT ? "stdout" : "stderr";
        deps.metrics.output(stream, data.byteLength);
        return events.put(outputEvent({ stream, data }), { signal });
      }
      case "dropped":
        return; // the exit tells that output is missing
      default:
        return event satisfies never;
    }
  }
}

function specOf(request: ExecSandboxRequest): ExecSpec {
  const { command, workdir, environment, timeoutSeconds, tty, cols, rows } = request;
  return create(ExecSpecSchema, {
    command,
    workdir,
    environment,
    timeoutMs: BigInt(timeoutSeconds) * 1_000n,
    stdin: true,
    ...(tty && { terminal: { cols, rows } }),
  });
}

/** ExecSandbox has no exit for an exec that others ended, or that was given up. */
function exitOf(
  exit: ExecExit | undefined,
  facts: { execId: string; dropped: boolean },
): ExecSandboxExit {
  const outcome = "completed";
  switch (exit?.reason) {
    case "exited":
    case "signaled":
    case "timed_out":
      return durableExit(exit, facts);
    case "canceled":
      throw new BelayError("canceled", "the exec was canceled", { outcome });
    case "lost":
      throw new BelayError("exec_lost", "nobody followed the exec, so it was ended", { outcome });
    default: {
      const message = "the supervisor broke the protocol: an exit for no reason that is known";
      throw new BelayError("internal", message, { outcome });
    }
  }
}
