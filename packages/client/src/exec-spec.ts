// exec-spec.ts: what to run and how, as a caller says it.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { LogOverflow } from "@belay/protocol";
import type { ExecSpecSchema } from "@belay/protocol";

export interface StartOptions {
  /** Of your own choice, so that a program that was restarted finds its exec. Default: a random UUID. */
  readonly execId?: string;
  /** Default: the supervisor's own. */
  readonly workdir?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Input and outputs are a terminal. 80×24 and TERM=xterm-256color unless said otherwise. */
  readonly terminal?: {
    readonly cols?: number;
    readonly rows?: number;
    readonly term?: string;
  };
  /** Then the whole tree is ended, and the exit code is 124. Milliseconds; default: none. */
  readonly timeoutMs?: number;
  /** Whether the exec may outlive all its followers. Default false. */
  readonly detached?: boolean;
  /** Output that is kept for followers, in bytes. Default: the supervisor's. */
  readonly logBytes?: number;
  /** What happens when that is full and nobody follows: the process waits (default), or goes on. */
  readonly logOverflow?: "wait" | "drop_oldest";
  /** How long the result is kept after the end. Milliseconds; default: the supervisor's. */
  readonly retentionMs?: number;
}

export function toSpec(
  command: readonly string[],
  options: StartOptions & { readonly stdin: boolean },
): MessageInitShape<typeof ExecSpecSchema> {
  return {
    command: [...command],
    workdir: options.workdir ?? "",
    environment: { ...options.environment },
    ...(options.terminal && { terminal: options.terminal }),
    timeoutMs: BigInt(options.timeoutMs ?? 0),
    detached: options.detached ?? false,
    stdin: options.stdin,
    logBytes: BigInt(options.logBytes ?? 0),
    logOverflow: options.logOverflow === "drop_oldest" ? LogOverflow.DROP_OLDEST : LogOverflow.WAIT,
    retentionMs: BigInt(options.retentionMs ?? 0),
  };
}
