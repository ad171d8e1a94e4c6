// exec-events.ts: what an exec tells its client, as messages.
import { create } from "@bufbuild/protobuf";
import { ExecSandboxEventSchema } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { exitCodeOf } from "@belay/relay-core";
import type { OutputChunk } from "../ssh/exec-channel.ts";
import type { CommandEnd } from "./read-to-end.ts";

/** What `timeout(1)` exits with, and OpenShell's clients know. */
const TIMED_OUT_EXIT_CODE = 124;

export function outputEvent({ stream, data }: OutputChunk): ExecSandboxEvent {
  return create(ExecSandboxEventSchema, { payload: { case: stream, value: { data } } });
}

export function exitEvent(
  { exit, outputComplete }: CommandEnd,
  { execId, timedOut }: { execId: string; timedOut: boolean },
): ExecSandboxEvent {
  const common = { execId, outputIncomplete: !outputComplete };
  const value = timedOut
    ? { ...common, exitCode: TIMED_OUT_EXIT_CODE, reason: "timed_out" }
    : {
        ...common,
        exitCode: exitCodeOf(exit) | 0, // SSH carries 32 bits without a sign: a server's -1 is 4294967295
        reason: exit.is,
        signal: exit.is === "signaled" ? exit.signal : "",
      };
  return create(ExecSandboxEventSchema, { payload: { case: "exit", value } });
}
