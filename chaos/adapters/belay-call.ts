// belay-call.ts: one ExecSandbox call to a Belay gateway, on a connection of its own, as a careful client
// makes it: with a PING of its own, and with an honest "unknown" when its own connection is gone.
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { PinnedConnection } from "@belay/e2e";
import { OpenShell } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { systemClock, watchLiveness } from "@belay/relay-core";
import type { LivenessLimits } from "@belay/relay-core";
import type { Call, CallerEnd, CallerView, CallInit } from "./adapter.ts";
import { callerError } from "./caller-error.ts";
import { Received } from "./received.ts";

export interface BelayCallOptions {
  url: string;
  sandboxId: string;
  keepalive: LivenessLimits;
}

const lostMs = 250;

export class BelayCall implements Call {
  readonly view: Promise<CallerView>;
  readonly #init: CallInit;
  readonly #options: BelayCallOptions;
  readonly #abort = new AbortController();
  readonly #received: Received;
  #hung = false;
  #wished: "caller_cancel" | undefined;
  #exit: Extract<CallerEnd, { is: "exit" }> | undefined;
  #execId: string | undefined;

  constructor(init: CallInit, options: BelayCallOptions) {
    this.#init = init;
    this.#options = options;
    this.#received = new Received(init.exec);
    this.view = this.#run();
  }

  get lastMessageMs(): number {
    return this.#received.lastMessageMs;
  }

  giveUp(): void {
    this.#hung = true;
    this.#abort.abort();
  }

  async #run(): Promise<CallerView> {
    const startedMs = performance.now();
    const connection = new PinnedConnection(this.#options.url);
    const { socket, session } = connection;
    const watch = watchLiveness(
      {
        seen: () => socket.bytesRead,
        probe: () => void (session.destroyed || session.ping(() => {})),
        onDead: () => connection[Symbol.dispose](),
      },
      this.#options.keepalive,
      systemClock,
    );
    // A stream whose connection is gone before the first answer never ends in connect-node: whoever has
    // a connection of its own has to end its calls. After a moment, because a better reason may come.
    session.once("close", () => systemClock.setTimer(lostMs, () => this.#abort.abort()));
    const cancel = this.#startCancel();
    let end: CallerEnd;
    try {
      await this.#converse(connection);
      end = this.#exit ?? this.#endedWithout();
    } catch (error) {
      end = this.#errorEnd(error, session.destroyed || session.closed || socket.destroyed);
    }
    const endedMs = performance.now();
    watch.stop();
    cancel();
    // A caller that gives up says so; one that has its answer closes.
    connection[Symbol.dispose]();
    return {
      startedMs,
      endedMs,
      end: this.#hung ? { is: "hung" } : end,
      lastMessageMs: this.lastMessageMs,
      streams: this.#received.streams(),
      violations: this.#received.violations,
      ...(this.#execId !== undefined && { execId: this.#execId }),
    };
  }

  async #converse(connection: PinnedConnection): Promise<void> {
    const { exec, command, environment, input } = this.#init;
    const transport = createGrpcTransport({
      baseUrl: this.#options.url,
      sessionManager: connection,
      readMaxBytes: 4 * 1024 * 1024,
    });
    const { timeoutSeconds = 0, deadlineMs } = exec.caller;
    const events = createClient(OpenShell, transport).execSandbox(
      { sandboxId: this.#options.sandboxId, command, environment, stdin: input, timeoutSeconds },
      { signal: this.#abort.signal, ...(deadlineMs !== undefined && { timeoutMs: deadlineMs }) },
    );
    for await (const event of events) {
      this.#take(event);
      await this.#received.pace();
    }
  }

  #take({ payload }: ExecSandboxEvent): void {
    const { violations } = this.#received;
    this.#received.message();
    if (this.#exit !== undefined) violations.push(`${payload.case} after the exit`);
    switch (payload.case) {
      case "stdout":
      case "stderr":
        return this.#received.output(payload.case, payload.value.data);
      case "exit": {
        const { exitCode, signal, reason, outputIncomplete, execId } = payload.value;
        this.#execId = execId;
        this.#exit = {
          is: "exit",
          exitCode,
          signal,
          reason: reason as "exited" | "signaled" | "timed_out",
          outputIncomplete,
        };
        return;
      }
      case undefined:
        return void violations.push("an event without payload");
      default:
        payload satisfies never;
    }
  }

  #endedWithout(): CallerEnd {
    this.#received.violations.push("ended OK without an exit");
    return {
      is: "error",
      kind: "ok_without_exit",
      outcome: undefined,
      callersOwn: false,
      message: "",
    };
  }

  #errorEnd(reason: unknown, connectionGone: boolean): CallerEnd {
    const { end, violations, execId } = callerError(reason, {
      wished: this.#wished,
      hasDeadline: this.#init.exec.caller.deadlineMs !== undefined,
      connectionGone,
      exited: this.#exit !== undefined,
    });
    this.#received.violations.push(...violations);
    this.#execId ??= execId;
    return end;
  }

  #startCancel(): () => void {
    const { cancelAfterMs } = this.#init.exec.caller;
    if (cancelAfterMs === undefined) return () => {};
    const timer = systemClock.setTimer(cancelAfterMs, () => {
      this.#wished = "caller_cancel";
      this.#abort.abort();
    });
    return () => timer.cancel();
  }
}
