// exec-exit.ts: how an exec ended, as it is told to everybody. Pure.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ExecExitSchema } from "@belay/protocol";
import type { ExecExit } from "@belay/protocol";
import { exitCodeOf } from "@belay/relay-core";
import type { ProcessEnd } from "../../process/process-handle.ts";
import type { ReportedEnd } from "../exec-client.ts";
import type { Ending } from "../exec-state.ts";

/** What `timeout(1)` exits with. */
const TIMED_OUT_EXIT_CODE = 124;

const REASONS = {
  timed_out: "timed_out",
  canceled: "canceled",
  orphaned: "lost",
} as const satisfies Partial<Record<Ending, string>>;

/** @param ending anything but "stopped", which is reported to nobody. */
export function execExit(
  end: ProcessEnd,
  { outputComplete, ending, processesEnded }: ReportedEnd,
  facts: Pick<
    MessageInitShape<typeof ExecExitSchema>,
    "stdout" | "stderr" | "startedAtMs" | "endedAtMs"
  >,
): ExecExit {
  const signal = end.is === "signaled" ? end.signal.replace(/^SIG/, "") : "";
  const own = end.is === "signaled" ? exitCodeOf({ is: "signaled", signal }) : end.exitCode;
  const reason = ending && ending !== "stopped" ? REASONS[ending] : end.is;
  return create(ExecExitSchema, {
    ...facts,
    reason,
    exitCode: reason === "timed_out" ? TIMED_OUT_EXIT_CODE : own,
    signal,
    outputIncomplete: !outputComplete,
    processesEnded: ending ? processesEnded : 0,
  });
}
