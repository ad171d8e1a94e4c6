// exec-events.ts: what an exec tells its client, as messages.
import { create } from "@bufbuild/protobuf";
import { ExecSandboxEventSchema, ExecSandboxExitSchema } from "@belay/protocol";
import type { ExecExit, ExecSandboxEvent, ExecSandboxExit } from "@belay/protocol";
import { exitCodeOf } from "@belay/relay-core";
import type { OutputChunk } from "../ssh/exec-channel.ts";
import type { CommandEnd } from "./read-to-end.ts";

/** What `timeout(1)` exits with, and OpenShell's clients know. */
const TIMED_OUT_EXIT_CODE = 124;

export function outputEvent({
  stream,
  data,
}: Pick<OutputChunk, "stream"> & { data: Uint8Array }): ExecSandboxEvent {
  return create(ExecSandboxEventSchema, { payload: { case: stream, value: { data } } });
}

export function exitEvent(value: ExecSandboxExit): ExecSandboxEvent {
  return create(ExecSandboxEventSchema, { payload: { case: "exit", value } });
}

/** The end of an exec of the plain form. */
export function plainExit(
  { exit, outputComplete }: CommandEnd,
  { execId, timedOut }: { execId: string; timedOut: boolean },
): ExecSandboxExit {
  const common = { execId, outputIncomplete: !outputComplete };
  if (timedOut) {
    const exitCode = TIMED_OUT_EXIT_CODE;
    return create(ExecSandboxExitSchema, { ...common, exitCode, reason: "timed_out" });
  }
  return create(ExecSandboxExitSchema, {
    ...common,
    exitCode: exitCodeOf(exit) | 0, // SSH carries 32 bits without a sign: a server's -1 is 4294967295
    reason: exit.is,
    signal: exit.is === "signaled" ? exit.signal : "",
  });
}

/** The end of a durable exec, of a reason that ExecSandbox has. */
export function durableExit(
  exit: ExecExit,
  { execId, dropped }: { execId: string; dropped: boolean },
): ExecSandboxExit {
  const { reason, stdout, stderr } = exit;
  const timedOut = reason === "timed_out";
  return create(ExecSandboxExitSchema, {
    execId,
    reason,
    exitCode: timedOut ? TIMED_OUT_EXIT_CODE : exit.exitCode,
    signal: timedOut ? "" : exit.signal,
    outputIncomplete: exit.outputIncomplete || dropped,
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
  });
}
