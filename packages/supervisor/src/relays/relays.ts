// relays.ts: the relays of one session: each opened at the gateway's wish, all ended with the session.
import { BelayError, SSH_CLIENT_SERVICE } from "@belay/protocol";
import type { GatewayMessage, RelayOpen } from "@belay/protocol";
import type { Log } from "@belay/program";
import { RelayPipe } from "@belay/relay-core";
import type { TaskScope } from "@belay/relay-core";
import type { SupervisorLimits } from "../limits.ts";
import type { GatewayClient } from "../link/gateway-client.ts";
import { closePipes } from "../process/pipe-pool.ts";
import type { PipePool, PooledPipe } from "../process/pipe-pool.ts";
import { PIPES_PER_EXEC } from "../ssh/session-pipes.ts";
import type { SshServer } from "../ssh/ssh-server.ts";
import { carryRelay, endInOrder } from "./carry-relay.ts";

export interface RelaysOptions {
  readonly client: GatewayClient;
  readonly ssh: SshServer;
  readonly pipePool: PipePool;
  readonly limits: SupervisorLimits;
  readonly log: Log;
  /** Aborts when no new relays are to be opened. */
  readonly draining: AbortSignal;
  /** Answers the gateway; the relay opens after it. */
  readonly answer: (channelId: string, refusal: string | undefined) => void;
  /** The session's: its end ends the relays. */
  readonly tasks: TaskScope;
}

type RelayMessage = Extract<
  GatewayMessage["payload"],
  { case: "relayOpen" } | { case: "relayClose" }
>;

/** - `opening`: what the target needs is being fetched.
 *  - `open`: a RelayStream carries it. */
type RelayState = { readonly is: "opening" } | { readonly is: "open"; readonly pipe: RelayPipe };

export class Relays {
  readonly #options: RelaysOptions;
  readonly #relays = new Map<string, RelayState>();
  #onIdle: (() => void) | undefined;

  constructor(options: RelaysOptions) {
    this.#options = options;
  }

  get channelIds(): string[] {
    return [...this.#relays.keys()];
  }

  /** Resolves when none is left. One waiter at a time. */
  async idle(): Promise<void> {
    while (this.#relays.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  handle(message: RelayMessage): void {
    if (message.case === "relayOpen") this.#open(message.value);
    else this.#close(message.value.channelId, message.value.reason);
  }

  #open(request: RelayOpen): void {
    const { answer, tasks } = this.#options;
    const { channelId } = request;
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      this.#options.log.warn("relay.refused", { channelId, reason: refusal });
      return answer(channelId, refusal);
    }
    this.#relays.set(channelId, { is: "opening" });
    tasks.run((signal) => this.#run(request, signal));
  }

  /** The gateway has no more use for the relay. */
  #close(channelId: string, reason: string): void {
    const relay = this.#relays.get(channelId);
    this.#options.log.info("relay.close_requested", { channelId, reason });
    if (relay?.is === "open") endInOrder(relay.pipe);
    else this.#relays.delete(channelId);
  }

  #refusal({ channelId, target }: RelayOpen): string | undefined {
    if (this.#options.draining.aborted) return "supervisor is stopping";
    if (channelId === "") return "channel_id is required";
    if (this.#relays.has(channelId)) return "this relay is open already";
    if (this.#relays.size >= this.#options.limits.execs) return "too many relays";
    if (target.case === "tcp") return "tcp targets are not supported yet";
    return undefined;
  }

  async #run({ channelId, serviceId }: RelayOpen, signal: AbortSignal): Promise<void> {
    const { answer, pipePool, limits, ssh, client } = this.#options;
    const log = this.#options.log.child({ channelId });
    try {
      let pipes: PooledPipe[] | undefined;
      try {
        pipes = await pipePool.take(PIPES_PER_EXEC, { signal });
      } catch (error) {
        signal.throwIfAborted();
        log.error("relay.open_failed", { err: error });
        return answer(channelId, error instanceof BelayError ? error.message : "internal error");
      }
      if (!this.#relays.has(channelId)) return closePipes(pipes ?? []); // closed in the meantime

      const pipe = new RelayPipe(limits.relayPipe);
      this.#relays.set(channelId, { is: "open", pipe });
      answer(channelId, undefined);
      const accepts = serviceId === SSH_CLIENT_SERVICE ? "locale" : "every";
      ssh.serve({ pipe, pipes, accepts, ids: { channelId }, log });
      log.debug("relay.opened");
      await carryRelay(channelId, pipe, client, { signal });
      log.debug("relay.ended", pipe.errored ? { err: pipe.errored } : {});
    } finally {
      this.#relays.delete(channelId);
      if (this.#relays.size === 0) this.#onIdle?.();
    }
  }
}
