// client-call.ts: one exec through @belay/client, on a connection of its own: what the client resumes, and
// says, is judged like everything else.
import { ClientError } from "@belay/client";
import type { ExecEvent, ExecExit } from "@belay/client";
import { connectToGateway } from "@belay/client/node";
import { systemClock } from "@belay/relay-core";
import type { LivenessLimits } from "@belay/relay-core";
import type { Call, CallerEnd, CallerView, CallInit } from "./adapter.ts";
import { contradictions, endOfError, endOfExit, Wish } from "./client-end.ts";
import { clientLimits } from "./lab-config.ts";
import type { LabConfig } from "./lab-config.ts";
import { Received } from "./received.ts";

export interface ClientCallOptions {
  url: string;
  sandboxId: string;
  keepalive: LivenessLimits;
  config: LabConfig;
}

export class ClientCall implements Call {
  readonly view: Promise<CallerView>;
  readonly #init: CallInit;
  readonly #options: ClientCallOptions;
  readonly #received: Received;
  readonly #abort = new AbortController();
  readonly #gaveUp = Promise.withResolvers<CallerEnd>();
  readonly #execId = crypto.randomUUID();

  constructor(init: CallInit, options: ClientCallOptions) {
    this.#init = init;
    this.#options = options;
    this.#received = new Received(init.exec);
    this.view = this.#run();
  }

  get lastMessageMs(): number {
    return this.#received.lastMessageMs;
  }

  /** Not even the end of a cancel is waited for. */
  giveUp(): void {
    this.#gaveUp.resolve({ is: "hung" });
    this.#abort.abort(new Error("given up"));
  }

  async #run(): Promise<CallerView> {
    const startedMs = performance.now();
    const wishes = this.#startWishes();
    const end = await Promise.race([this.#converse(), this.#gaveUp.promise]);
    const endedMs = performance.now();
    for (const wish of wishes) wish.cancel();
    return {
      startedMs,
      endedMs,
      end,
      lastMessageMs: this.lastMessageMs,
      streams: this.#received.streams(),
      violations: this.#received.violations,
      execId: this.#execId,
    };
  }

  /** Never rejects. */
  async #converse(): Promise<CallerEnd> {
    const { exec, command, environment, input } = this.#init;
    const { url, sandboxId, keepalive, config } = this.#options;
    using client = connectToGateway({
      url,
      keepalive,
      connectMs: config.sshReadyMs,
      limits: clientLimits(config),
    });
    const { timeoutSeconds } = exec.caller;
    let exit: ExecExit | undefined;
    try {
      const events = client.stream({ sandboxId }, command, {
        execId: this.#execId,
        environment,
        ...(input.length > 0 && { stdin: input }),
        ...(timeoutSeconds !== undefined && { timeoutMs: timeoutSeconds * 1_000 }),
        signal: this.#abort.signal,
      });
      for await (const event of events) {
        if (exit !== undefined) this.#violation(`${event.is} after the exit`);
        this.#take(event);
        if (event.is === "exit") exit = event.exit;
        await this.#received.pace();
      }
    } catch (error) {
      // Its own wish may come between the exit and the end of the stream.
      if (exit !== undefined && !(error instanceof Wish))
        this.#violation(`an error after the exit: ${String(error)}`);
      if (error instanceof ClientError && error.kind === "output_mismatch")
        this.#violation(String(error));
      return endOfError(error);
    }
    if (exit !== undefined) return endOfExit(exit);
    this.#violation("ended without an exit");
    return endOfError("ended without an exit");
  }

  #take(event: ExecEvent): void {
    const received = this.#received;
    received.message();
    switch (event.is) {
      case "output":
        if (event.offset !== received.bytes(event.stream))
          this.#violation(
            `${event.stream} at ${event.offset} after ${received.bytes(event.stream)}`,
          );
        return received.output(event.stream, event.data);
      case "dropped":
        return this.#violation(`${event.stream} dropped from ${event.fromOffset} on`);
      case "exit":
        for (const text of contradictions(event, (stream) => received.bytes(stream)))
          this.#violation(text);
        return;
      default:
        return event satisfies never;
    }
  }

  #violation(text: string): void {
    this.#received.violations.push(text);
  }

  #startWishes() {
    const { cancelAfterMs, deadlineMs } = this.#init.exec.caller;
    const wishes = { caller_cancel: cancelAfterMs, caller_deadline: deadlineMs };
    return (["caller_cancel", "caller_deadline"] as const).flatMap((kind) => {
      const ms = wishes[kind];
      if (ms === undefined) return [];
      return [systemClock.setTimer(ms, () => this.#abort.abort(new Wish(kind)))];
    });
  }
}
