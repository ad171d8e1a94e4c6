// relays.ts: the relays of one session: each opened at the gateway's wish, all ended with the session.
import { BelayError, SSH_CLIENT_SERVICE } from "@belay/protocol";
import type { GatewayMessage, RelayOpen, TcpRelayTarget } from "@belay/protocol";
import type { Log } from "@belay/program";
import { RelayPipe } from "@belay/relay-core";
import type { Clock, TaskScope } from "@belay/relay-core";
import type { SupervisorLimits } from "../limits.ts";
import type { GatewayClient } from "../link/gateway-client.ts";
import { closePipes } from "../process/pipe-pool.ts";
import type { PipePool } from "../process/pipe-pool.ts";
import { PIPES_PER_EXEC } from "../ssh/session-pipes.ts";
import type { SshServer } from "../ssh/ssh-server.ts";
import { carryRelay, endInOrder } from "./carry-relay.ts";
import { carryTcp } from "./carry-tcp.ts";
import { dialTcp } from "./dial-tcp.ts";

export interface RelaysOptions {
  readonly client: GatewayClient;
  readonly ssh: SshServer;
  readonly pipePool: PipePool;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when no new relays are to be opened. */
  readonly draining: AbortSignal;
  /** Answers the gateway; the relay opens after it. */
  readonly answer: (channelId: string, refusal: string | undefined) => void;
  /** Tells the gateway that a relay's target broke, so that it ends the relay with this reason. */
  readonly takeBack: (channelId: string, reason: string) => void;
  /** The session's: its end ends the relays. */
  readonly tasks: TaskScope;
}

type RelayMessage = Extract<
  GatewayMessage["payload"],
  { case: "relayOpen" } | { case: "relayClose" }
>;

type Target = "ssh" | "tcp";

/** - `opening`: the target is being reached.
 *  - `open`: a RelayStream carries it. */
type RelayState =
  | { readonly is: "opening"; readonly target: Target }
  | { readonly is: "open"; readonly target: Target; readonly pipe: RelayPipe };

/** A target that was reached: `serve` joins it to the relay's pipe, unless nobody wants it any more. */
interface Reached {
  readonly serve: (pipe: RelayPipe) => void;
  readonly abandon: () => void;
}

export class Relays {
  readonly #options: RelaysOptions;
  readonly #relays = new Map<string, RelayState>();
  /** Of connections that durable execs share: they stay open without any. */
  readonly #shared = new Set<string>();
  #onIdle: (() => void) | undefined;

  constructor(options: RelaysOptions) {
    this.#options = options;
  }

  get channelIds(): string[] {
    return [...this.#relays.keys()];
  }

  /** Resolves when none is left but those that durable execs share. One waiter at a time. */
  async idle(): Promise<void> {
    while (this.#relays.size > this.#shared.size)
      await new Promise<void>((resolve) => (this.#onIdle = resolve));
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
    this.#relays.set(channelId, { is: "opening", target: targetOf(request) });
    tasks.run((signal) => this.#run(request, signal));
  }

  /** The gateway has no more use for the relay. */
  #close(channelId: string, reason: string): void {
    const relay = this.#relays.get(channelId);
    this.#options.log.info("relay.close_requested", { channelId, reason });
    if (relay?.is === "open") endInOrder(relay.pipe);
    else this.#relays.delete(channelId);
  }

  #refusal(request: RelayOpen): string | undefined {
    const { channelId } = request;
    const { draining, limits } = this.#options;
    if (draining.aborted) return "supervisor is stopping";
    if (channelId === "") return "channel_id is required";
    if (this.#relays.has(channelId)) return "this relay is open already";
    const target = targetOf(request);
    const ofTarget = [...this.#relays.values()].filter((relay) => relay.target === target).length;
    if (ofTarget >= (target === "tcp" ? limits.tcpRelays : limits.execs)) return "too many relays";
    return undefined;
  }

  async #run(request: RelayOpen, signal: AbortSignal): Promise<void> {
    const { channelId } = request;
    const { answer, limits, client } = this.#options;
    const log = this.#options.log.child({ channelId });
    try {
      let reached: Reached;
      try {
        reached = await this.#reach(request, log, signal);
      } catch (error) {
        signal.throwIfAborted();
        const refused = error instanceof BelayError && error.kind === "relay_refused";
        log[refused ? "info" : "error"]("relay.open_failed", { err: error });
        return answer(channelId, error instanceof BelayError ? error.message : "internal error");
      }
      if (!this.#relays.has(channelId)) return reached.abandon(); // closed in the meantime

      const pipe = new RelayPipe(limits.relayPipe);
      this.#relays.set(channelId, { is: "open", target: targetOf(request), pipe });
      answer(channelId, undefined);
      reached.serve(pipe);
      log.debug("relay.opened");
      await carryRelay(channelId, pipe, client, { signal });
      log.debug("relay.ended", pipe.errored ? { err: pipe.errored } : {});
    } finally {
      this.#relays.delete(channelId);
      this.#shared.delete(channelId);
      this.#onIdle?.();
    }
  }

  #reach(request: RelayOpen, log: Log, signal: AbortSignal): Promise<Reached> {
    const { channelId, target } = request;
    if (target.case === "tcp") return this.#reachTcp(channelId, target.value, signal);
    return this.#reachSsh(request, log, signal);
  }

  async #reachSsh(
    { channelId, serviceId }: RelayOpen,
    log: Log,
    signal: AbortSignal,
  ): Promise<Reached> {
    const { pipePool, ssh } = this.#options;
    const pipes = await pipePool.take(PIPES_PER_EXEC, { signal });
    const accepts = serviceId === SSH_CLIENT_SERVICE ? "locale" : "every";
    const onShared = () => {
      this.#shared.add(channelId);
      this.#onIdle?.();
    };
    return {
      serve: (pipe) => ssh.serve({ pipe, pipes, accepts, onShared, ids: { channelId }, log }),
      abandon: () => closePipes(pipes ?? []),
    };
  }

  async #reachTcp(
    channelId: string,
    target: TcpRelayTarget,
    signal: AbortSignal,
  ): Promise<Reached> {
    const { clock, limits, takeBack } = this.#options;
    const socket = await dialTcp(target, { limitMs: limits.tcpDialMs, clock, signal });
    return {
      serve: (pipe) =>
        carryTcp(socket, pipe, {
          clock,
          flushMs: limits.tcpFlushMs,
          onBroken(error) {
            // The gateway ends the relay, after what was sent before. Cut off here, its end could
            // arrive before the reason for it.
            takeBack(channelId, error.message);
            const cut = clock.setTimer(limits.relayCloseMs, () => pipe.destroy(error));
            pipe.once("close", () => cut.cancel());
          },
        }),
      abandon: () => socket.destroy(),
    };
  }
}

function targetOf({ target }: RelayOpen): Target {
  return target.case ?? "ssh";
}
