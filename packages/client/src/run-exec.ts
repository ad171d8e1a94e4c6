// run-exec.ts: a command from its start to its end, its input included: as events, or collected.
import { TaskScope } from "@belay/relay-core/portable";
import { ClientError } from "./client-error.ts";
import type { ClientContext } from "./context.ts";
import type { StartOptions } from "./exec-spec.ts";
import type { ExecExit } from "./exec-views.ts";
import type { ExecEvent } from "./follow-exec.ts";
import { startExec, takeBack } from "./start-exec.ts";
import type { StdinInput } from "./write-stdin.ts";

export interface StreamOptions extends StartOptions {
  /** All of the command's input. Default: it finds the end of its input at once. */
  readonly stdin?: StdinInput;
  /** An abort cancels the exec, and is answered when its processes are gone. */
  readonly signal?: AbortSignal;
}

export interface ExecOptions extends StreamOptions {
  /** Of both outputs together. Default 16 MiB. Beyond it the exec is canceled. */
  readonly maxOutputBytes?: number;
}

export interface ExecResult {
  readonly sandboxId: string;
  readonly execId: string;
  /** A command that failed is a result, not an error. */
  readonly exit: ExecExit;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** See `ExitEvent.verified`. */
  readonly verified: boolean;
}

export interface RunTarget {
  readonly sandboxId: string;
  readonly execId: string;
  readonly command: readonly string[];
}

/** Leaving the loop before the exit cancels the exec, as an abort does. */
export async function* streamExec(
  { sandboxId, execId, command }: RunTarget,
  options: StreamOptions,
  context: ClientContext,
  signal: AbortSignal,
): AsyncGenerator<ExecEvent, void, void> {
  const { stdin } = options;
  const start = { ...options, execId, stdin: stdin !== undefined };
  const exec = await startExec(sandboxId, command, start, context, signal);
  await using tasks = new TaskScope("stdin", { signal });
  if (stdin !== undefined) {
    tasks.run(async (stdinSignal) => void (await exec.writeStdin(stdin, { signal: stdinSignal })));
  }
  // Unless it ends, or its way was lost, or its output is wrong: then nobody wished it to end.
  let isUnwanted = true;
  let reason: unknown;
  try {
    for await (const event of exec.follow({ signal: tasks.signal })) {
      if (event.is === "end_of_log") continue; // comes only where it was asked for
      if (event.is === "exit") isUnwanted = false;
      yield event;
    }
  } catch (error) {
    isUnwanted = tasks.signal.aborted;
    reason = error;
    throw error;
  } finally {
    if (isUnwanted) await takeBack(exec, reason);
  }
}

/** @throws BelayError, ClientError, or the signal's reason. */
export async function collectExec(
  target: RunTarget,
  options: ExecOptions,
  context: ClientContext,
  signal: AbortSignal,
): Promise<ExecResult> {
  const { sandboxId, execId } = target;
  const maxBytes = options.maxOutputBytes ?? context.limits.outputBytes;
  const collected = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let bytes = 0;
  for await (const event of streamExec(target, options, context, signal)) {
    switch (event.is) {
      case "output":
        bytes += event.data.byteLength;
        if (bytes > maxBytes) {
          const message = `more than ${maxBytes} bytes of output: use stream(), or a larger maxOutputBytes`;
          throw new ClientError("output_too_large", message, { sandboxId, execId });
        }
        collected[event.stream].push(event.data);
        break;
      case "dropped":
        break; // `verified` tells
      case "exit": {
        const { exit, verified } = event;
        const [stdout, stderr] = [join(collected.stdout), join(collected.stderr)];
        return { sandboxId, execId, exit, stdout, stderr, verified };
      }
    }
  }
  throw new Error("unreachable: a follow ends with an exit or throws");
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
