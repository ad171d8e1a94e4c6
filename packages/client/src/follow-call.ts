// follow-call.ts: one FollowExec call: its next event, or how it failed. Silence of the path fails it.
import { BelayError } from "@belay/protocol";
import type { FollowExecEvent, FollowExecRequest } from "@belay/protocol";
import { linkedAbort, untilAbort, watchLiveness } from "@belay/relay-core/portable";
import type { ClientContext } from "./context.ts";
import { isPathFailure } from "./path-failure.ts";

type Next = { readonly is: "event"; readonly payload: FollowExecEvent["payload"] } | FollowFailure;

export interface FollowFailure {
  readonly is: "failed";
  readonly reason: unknown;
  readonly isPathFailure: boolean;
}

export class FollowCall implements Disposable {
  readonly #abort: AbortController & Disposable;
  readonly #events: AsyncIterator<FollowExecEvent>;
  readonly #watch: { stop(): void };
  #messages = 0;
  #seen = 0;
  #isWaiting = false;

  constructor(
    request: Omit<FollowExecRequest, "$typeName" | "keepaliveIntervalMs">,
    { execs, limits, clock }: ClientContext,
    signal: AbortSignal,
  ) {
    const keepaliveIntervalMs = limits.keepaliveIntervalMs;
    const deadAfterMs = keepaliveIntervalMs * limits.keepaliveMissed;
    this.#abort = linkedAbort(signal);
    this.#events = execs
      .followExec({ ...request, keepaliveIntervalMs }, { signal: this.#abort.signal })
      [Symbol.asyncIterator]();
    this.#watch = watchLiveness(
      {
        // While our own reader does not ask for more, no message can come: that says nothing of the path.
        seen: () => (this.#isWaiting ? this.#seen : ++this.#seen),
        onDead: () => this.#abort.abort(silence(deadAfterMs)),
      },
      { probeEveryMs: 0, deadAfterMs },
      clock,
    );
  }

  async next(): Promise<Next> {
    this.#isWaiting = true;
    try {
      const next = await untilAbort(this.#events.next(), this.#abort.signal);
      if (next.done) return this.#failed(cut());
      this.#messages += 1;
      return { is: "event", payload: next.value.payload };
    } catch (error) {
      const { signal } = this.#abort;
      return this.#failed(signal.aborted ? signal.reason : error);
    } finally {
      this.#isWaiting = false;
      this.#seen += 1;
    }
  }

  /** Ends the call: leaving a response iterable alone would keep it open. */
  [Symbol.dispose](): void {
    this.#watch.stop();
    this.#abort.abort(new Error("no longer followed"));
    this.#abort[Symbol.dispose]();
  }

  #failed(reason: unknown): FollowFailure {
    const answered = this.#messages > 0;
    return { is: "failed", reason, isPathFailure: isPathFailure(reason, { answered }) };
  }
}

function silence(ms: number): BelayError {
  return new BelayError("session_lost", `the gateway said nothing for ${ms} ms`, {
    outcome: "unknown",
  });
}

function cut(): BelayError {
  return new BelayError("session_lost", "the stream ended before the exit", { outcome: "unknown" });
}
