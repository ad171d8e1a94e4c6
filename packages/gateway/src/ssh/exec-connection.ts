// exec-connection.ts: one SSH connection that many execs share, each with a channel of its own. A few
// channels are kept ready, with the subsystem started, so that an exec costs one write and one read.
import { BelayError, EXEC_SUBSYSTEM } from "@belay/protocol";
import { TaskScope, untilAbort } from "@belay/relay-core";
import type { Clock, Timer } from "@belay/relay-core";
import type { Log } from "@belay/program";
import type { ClientChannel } from "ssh2";
import type { GatewayLimits } from "../limits.ts";
import type { RelayBroker } from "../relays/relay-broker.ts";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import { ChannelConversation } from "./exec-conversation.ts";
import type { ExecConversation } from "./exec-conversation.ts";
import { SshConnection } from "./ssh-connection.ts";

export interface ExecConnectionDeps {
  readonly relays: RelayBroker;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** - `opening`: no SSH yet; callers wait.
 *  - `open`: takes callers.
 *  - `retiring`: takes none any more, and ends with its last conversation.
 *  - `ended`: for good. */
type State =
  | { readonly is: "opening" }
  | { readonly is: "open"; readonly ssh: SshConnection }
  | { readonly is: "retiring" }
  | { readonly is: "ended"; readonly reason: BelayError };

type Waiter = PromiseWithResolvers<ChannelConversation>;

export class ExecConnection {
  readonly #session: SupervisorSession;
  readonly #deps: ExecConnectionDeps;
  readonly #onEnd: (connection: ExecConnection) => void;
  readonly #over = new AbortController();
  readonly #tasks = new TaskScope("exec connection", { signal: this.#over.signal });
  #state: State = { is: "opening" };
  #idle: Timer | undefined;

  /** Callers without a channel, the first one first. Each has a channel that is being opened. */
  readonly #waiting = new Set<Waiter>();
  readonly #conversations = new Set<ChannelConversation>();
  #opening = 0;
  readonly #spare = new Set<ChannelConversation>();
  /** Detached, but the supervisor has not said so: each still has its place here and there. */
  readonly #closing = new Set<ChannelConversation>();

  constructor(
    session: SupervisorSession,
    deps: ExecConnectionDeps,
    onEnd: (connection: ExecConnection) => void,
  ) {
    this.#session = session;
    this.#deps = deps;
    this.#onEnd = onEnd;
  }

  get hasRoom(): boolean {
    return (this.#state.is === "opening" || this.#state.is === "open") && this.#room > 0;
  }

  /** How many more callers find a place here. */
  get #room(): number {
    const taken = this.#waiting.size + this.#conversations.size + this.#closing.size;
    return this.#deps.limits.execsPerConnection - taken;
  }

  /** Opens the connection and keeps it until it ends; to be run once, beside its callers. */
  async run(signal: AbortSignal): Promise<void> {
    const { relays, limits, clock, log } = this.#deps;
    const onStop = () => this.end(lost("the gateway closes its connections"));
    if (signal.aborted) onStop();
    else signal.addEventListener("abort", onStop, { once: true });
    try {
      await using _ = this.#tasks;
      using relay = await relays.open(this.#session, { signal: this.#over.signal });
      using ssh = await SshConnection.open(relay, limits, clock, { signal: this.#over.signal });
      log.debug("exec_connection.opened", { ...ssh.ids });
      this.#onOpen(ssh);
      await untilAbort(new Promise<never>(() => {}), this.#over.signal);
    } catch (error) {
      this.end(error);
    } finally {
      signal.removeEventListener("abort", onStop);
    }
  }

  #onOpen(ssh: SshConnection): void {
    const onLost = () => this.end(ssh.lost.reason);
    if (ssh.lost.aborted) return onLost();
    ssh.lost.addEventListener("abort", onLost, { once: true });
    this.#state = { is: "open", ssh };
    this.#openChannels();
  }

  /**
   * A spare channel, or the next that opens. The caller has asked for room.
   * @throws BelayError with the outcome `not_started`, or the signal's reason.
   */
  async open({ signal }: { signal: AbortSignal }): Promise<ExecConversation> {
    if (this.#state.is === "ended") throw this.#state.reason.with({ outcome: "not_started" });
    this.#idle?.cancel();
    this.#idle = undefined;
    const [spare] = this.#spare;
    if (spare) {
      this.#spare.delete(spare);
      this.#conversations.add(spare);
      return spare;
    }
    const waiter = Promise.withResolvers<ChannelConversation>();
    this.#waiting.add(waiter);
    this.#openChannels();
    try {
      return await untilAbort(waiter.promise, signal);
    } catch (error) {
      // What was handed over in the turn of the abort has no owner.
      if (!this.#waiting.delete(waiter)) void waiter.promise.then(dispose, () => {});
      this.#onLessUse();
      throw error;
    }
  }

  /** As many as callers wait for, and the spare ones. */
  #openChannels(): void {
    if (this.#state.is !== "open") return;
    const { ssh } = this.#state;
    const wanted = Math.min(this.#deps.limits.spareChannels, this.#room) + this.#waiting.size;
    for (let has = this.#opening + this.#spare.size; has < wanted; has += 1) {
      this.#opening += 1;
      this.#tasks.run(() => this.#openChannel(ssh));
    }
  }

  async #openChannel(ssh: SshConnection): Promise<void> {
    const options = {
      ssh,
      instanceId: this.#session.instanceId,
      clock: this.#deps.clock,
      onDetach: (conversation: ChannelConversation) => this.#onDetach(conversation),
      onClosed: (conversation: ChannelConversation) => this.#onClosed(conversation),
    };
    const take = (channel: ClientChannel) => new ChannelConversation(channel, options);
    try {
      const { signal } = this.#over;
      const conversation = await ssh.startSubsystem(EXEC_SUBSYSTEM, take, { signal });
      this.#opening -= 1;
      this.#hand(conversation);
    } catch (error) {
      this.#opening -= 1;
      this.#onNotOpened(asBelayError(error));
    }
  }

  #hand(conversation: ChannelConversation): void {
    const [waiter] = this.#waiting;
    if (waiter) {
      this.#waiting.delete(waiter);
      this.#conversations.add(conversation);
      waiter.resolve(conversation);
    } else if (this.#state.is === "open" && this.#spare.size < this.#deps.limits.spareChannels) {
      if (!conversation.isGone) this.#spare.add(conversation);
    } else {
      conversation[Symbol.dispose]();
    }
  }

  /** Fails the first caller, unless a channel that is still being opened will do for it. Opens no other:
   * a server that refuses would be asked for ever. */
  #onNotOpened(error: BelayError): void {
    // A server that does not answer has its chance with what runs; no other exec should wait for it.
    if (error.kind === "exec_start_timeout" && this.#state.is === "open") {
      this.#state = { is: "retiring" };
    }
    const [waiter] = this.#waiting;
    if (waiter && this.#waiting.size > this.#opening) {
      this.#waiting.delete(waiter);
      waiter.reject(error.with({ outcome: "not_started" }));
    }
    this.#onLessUse();
  }

  #onDetach(conversation: ChannelConversation): void {
    this.#conversations.delete(conversation);
    if (!conversation.isClosed) this.#closing.add(conversation);
    this.#openChannels(); // now, not when a spare one was taken: then the exec has the right of way
    this.#onLessUse();
  }

  #onClosed(conversation: ChannelConversation): void {
    this.#closing.delete(conversation);
    this.#spare.delete(conversation);
  }

  #onLessUse(): void {
    if (this.#waiting.size + this.#conversations.size > 0) return;
    const { clock, limits } = this.#deps;
    switch (this.#state.is) {
      case "opening":
        return this.end(lost("nobody waits for the connection any more"));
      case "retiring":
        return this.end(lost("the supervisor left the start of a channel unanswered"));
      case "open":
        this.#idle ??= clock.setTimer(limits.connectionIdleMs, () => this.end(lost("idle")));
        return;
      case "ended":
        return;
    }
  }

  /** Tells everybody on it at once. The first reason counts. */
  end(error: unknown): void {
    if (this.#state.is === "ended") return;
    const reason = asBelayError(error);
    this.#state = { is: "ended", reason };
    this.#idle?.cancel();
    this.#over.abort(reason);
    for (const conversation of [...this.#conversations, ...this.#spare]) conversation.lose(reason);
    for (const waiter of this.#waiting) waiter.reject(reason.with({ outcome: "not_started" }));
    this.#waiting.clear();
    this.#deps.log.debug("exec_connection.ended", {
      sessionId: this.#session.id,
      sandboxId: this.#session.sandboxId,
      reason: reason.message,
    });
    this.#onEnd(this);
  }
}

function dispose(conversation: Disposable): void {
  conversation[Symbol.dispose]();
}

function lost(message: string): BelayError {
  return new BelayError("relay_lost", message);
}

function asBelayError(error: unknown): BelayError {
  if (error instanceof BelayError) return error;
  return new BelayError("internal", "internal error", { cause: error });
}
