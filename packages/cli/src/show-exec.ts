// show-exec.ts: an exec's output goes to our own, as it comes and no faster than it is read; its end
// becomes our exit code.
import type { ExecExit, FollowEvent } from "@belay/client";
import { note, write } from "./io.ts";
import type { Io } from "./io.ts";

/** The exit code: the command's own; 0 for an exec that was only looked at. @throws OutputClosed. */
export async function showExec(events: AsyncIterable<FollowEvent>, io: Io): Promise<number> {
  for await (const event of events) {
    switch (event.is) {
      case "output":
        await write(io[event.stream], event.data);
        break;
      case "dropped": {
        const bytes = event.toOffset - event.fromOffset;
        await note(io, `${bytes} bytes of ${event.stream} are no longer kept`);
        break;
      }
      case "exit":
        for (const remark of remarks(event.exit)) await note(io, remark);
        return event.exit.exitCode;
      case "end_of_log":
        return 0;
    }
  }
  throw new Error("unreachable: a follow ends with an exit or throws");
}

/** What the exit code alone does not tell. */
function remarks({ reason, processesEnded, outputIncomplete, signal }: ExecExit): string[] {
  const remark: Readonly<Record<string, string>> = {
    timed_out: `timed out; ${count(processesEnded)} ended`,
    canceled: `canceled; ${count(processesEnded)} ended`,
    lost: `ended, because nobody followed it; ${count(processesEnded)} ended`,
    signaled: `ended by SIG${signal ?? "?"}`,
  };
  const cut = "something held its output open after the exit; what came later was cut";
  return [remark[reason], outputIncomplete ? cut : undefined].filter((text) => text !== undefined);
}

function count(processes: number): string {
  return processes === 1 ? "1 process" : `${processes} processes`;
}
