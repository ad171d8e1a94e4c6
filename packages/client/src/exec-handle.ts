// exec-handle.ts: one exec, wherever it runs and whoever started it.
import type { CallOptions } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";
import { waitAtMost } from "@belay/relay-core/portable";
import type { ClientContext } from "./context.ts";
import { exitView, infoView } from "./exec-views.ts";
import type { ExecExit, ExecInfo } from "./exec-views.ts";
import { followExec } from "./follow-exec.ts";
import type { FollowEvent } from "./follow-exec.ts";
import { unaryCall } from "./unary-call.ts";
import { writeStdin } from "./write-stdin.ts";
import type { StdinInput, StdinProgress } from "./write-stdin.ts";

export interface Abortable {
  /** Ends the call with the signal's reason. Default: never. */
  readonly signal?: AbortSignal;
}

export interface FollowOptions extends Abortable {
  /** Of the first byte that is wanted of each stream. Default 0. */
  readonly stdoutOffset?: number;
  readonly stderrOffset?: number;
  /** End after what there is now. Default false. */
  readonly noWait?: boolean;
}

/** WaitExec answers after so long at the latest, and is asked again. In milliseconds. */
const WAIT_MS = 30_000;

export class ExecHandle {
  readonly sandboxId: string;
  readonly execId: string;
  readonly #context: ClientContext;
  /** Whether this client has reached the exec: a lost way to it is then worth a longer wait. */
  #wasReached: boolean;
  /** Of the next byte of input; undefined until the supervisor was asked. */
  #stdinOffset: number | undefined;
  #isWriting = false;

  constructor(
    ids: { readonly sandboxId: string; readonly execId: string },
    context: ClientContext,
    { isNew }: { readonly isNew: boolean },
  ) {
    this.sandboxId = ids.sandboxId;
    this.execId = ids.execId;
    this.#context = context;
    this.#wasReached = isNew;
    this.#stdinOffset = isNew ? 0 : undefined;
  }

  /**
   * Output from the given offsets on, then the exit. A lost way is a pause: it is taken up again where
   * it ended, each byte once. An abort only detaches.
   * @throws BelayError `exec_not_found`, `resume_window_ended`, …; ClientError `output_mismatch`.
   */
  follow(options: FollowOptions = {}): AsyncGenerator<FollowEvent, void, void> {
    const { stdoutOffset = 0, stderrOffset = 0, noWait = false } = options;
    const target = {
      ...this.#ids,
      stdoutOffset,
      stderrOffset,
      noWait,
      windowMs: this.#windowMs,
      onAnswer: () => void (this.#wasReached = true),
    };
    return followExec(target, this.#context, signalOf(options));
  }

  /**
   * Sends input after what was sent before, in order, each byte once. Its end follows, unless `end` is
   * false. Resolves when all was taken or the process reads no more. One call at a time.
   * @throws BelayError.
   */
  async writeStdin(
    input: StdinInput,
    options: Abortable & { readonly end?: boolean } = {},
  ): Promise<StdinProgress> {
    if (this.#isWriting) {
      throw new BelayError("invalid_request", "another writeStdin of this handle is not done yet", {
        ids: this.#ids,
      });
    }
    this.#isWriting = true;
    const { end = true } = options;
    const signal = signalOf(options);
    try {
      const offset = this.#stdinOffset ?? (await this.get({ signal })).stdinOffset;
      this.#stdinOffset = undefined; // after a failure, the supervisor knows what it has taken
      const progress = await writeStdin(
        input,
        (piece, callSignal) =>
          this.#call(
            "WriteStdin",
            (call) => this.#context.execs.writeStdin({ ...this.#ids, ...piece }, call),
            { signal: callSignal },
          ),
        this.#context,
        { offset, end, ids: this.#ids, signal },
      );
      this.#stdinOffset = progress.offset;
      return progress;
    } finally {
      this.#isWriting = false;
    }
  }

  /**
   * Sends a signal, "TERM" or "SIGTERM", to the exec's process group. Sent again only when it is
   * certain that it did not arrive. @throws BelayError `exec_ended`.
   */
  async signal(name: string, options: Abortable = {}): Promise<void> {
    const request = { ...this.#ids, signal: name };
    await this.#call("SignalExec", (call) => this.#context.execs.signalExec(request, call), {
      ...options,
      idempotent: false,
    });
  }

  /** Tells the terminal its size. No effect without one. @throws BelayError `exec_ended`. */
  async resize(cols: number, rows: number, options: Abortable = {}): Promise<void> {
    const request = { ...this.#ids, cols, rows };
    await this.#call(
      "ResizeExec",
      (call) => this.#context.execs.resizeExec(request, call),
      options,
    );
  }

  /** The exec as it is. @throws BelayError `exec_not_found`. */
  async get(options: Abortable = {}): Promise<ExecInfo> {
    const { exec } = await this.#call(
      "GetExec",
      (call) => this.#context.execs.getExec(this.#ids, call),
      options,
    );
    if (!exec) throw incomplete("GetExec", this.#ids);
    return infoView(exec);
  }

  /** The exec's end, however long it takes. @throws BelayError `exec_not_found`. */
  async wait(options: Abortable = {}): Promise<ExecExit> {
    const request = { ...this.#ids, waitMs: WAIT_MS };
    const signal = signalOf(options);
    for (;;) {
      const { exec } = await this.#call(
        "WaitExec",
        (call) => this.#context.execs.waitExec(request, call),
        { signal, callMs: this.#context.limits.callMs + WAIT_MS },
      );
      if (!exec) throw incomplete("WaitExec", this.#ids);
      if (exec.exit) return exitView(exec.exit);
    }
  }

  /**
   * Ends the exec's whole tree. Resolves when it is gone, with the exit, or with nothing when the exec
   * was not known: it can then no longer start.
   * @throws BelayError `termination_unconfirmed` when that takes longer than `limits.cancelMs`.
   */
  async cancel(options: Abortable = {}): Promise<ExecExit | undefined> {
    const { clock, limits, execs } = this.#context;
    const { exec } = await waitAtMost(
      {
        what: `the end of exec ${this.execId}`,
        limitMs: limits.cancelMs,
        kind: "termination_unconfirmed",
        ids: this.#ids,
      },
      clock,
      (signal) => this.#call("CancelExec", (call) => execs.cancelExec(this.#ids, call), { signal }),
      { signal: signalOf(options) },
    );
    return exec?.exit && exitView(exec.exit);
  }

  get #ids() {
    return { sandboxId: this.sandboxId, execId: this.execId };
  }

  readonly #windowMs = (): number => {
    const { resumeWindowMs, startWindowMs } = this.#context.limits;
    return this.#wasReached ? resumeWindowMs : startWindowMs;
  };

  async #call<T>(
    name: string,
    call: (options: CallOptions) => Promise<T>,
    options: Abortable & { readonly callMs?: number; readonly idempotent?: boolean },
  ): Promise<T> {
    const answer = await unaryCall(call, {
      ...options,
      context: this.#context,
      what: `${name} of exec ${this.execId}`,
      windowMs: this.#windowMs,
      isStarted: true,
      ids: this.#ids,
      signal: signalOf(options),
    });
    this.#wasReached = true;
    return answer;
  }
}

export function signalOf({ signal }: Abortable): AbortSignal {
  return signal ?? new AbortController().signal;
}

export function incomplete(call: string, ids: { sandboxId?: string; execId?: string }): BelayError {
  return new BelayError("protocol_violation", `${call} was answered without an exec`, {
    outcome: "unknown",
    ids,
  });
}
