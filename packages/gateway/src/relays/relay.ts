// relay.ts: one pipe of bytes between gateway and supervisor, from the request to open it to its end.
import { BelayError } from "@belay/protocol";
import type { ErrorIds } from "@belay/protocol";
import { RelayPipe } from "@belay/relay-core";

/** The supervisor's SSH server, or a port on the sandbox's loopback. */
export type RelayTarget =
  | { readonly case: "ssh"; readonly value: Record<string, never> }
  | { readonly case: "tcp"; readonly value: { readonly host: string; readonly port: number } };

/** - `pending`: RelayOpen is sent, nobody has claimed it.
 *  - `open`: a RelayStream carries it.
 *  - `ended`: for good, with the reason. */
export type RelayState =
  | { readonly is: "pending"; readonly deliver: (relay: Relay) => void }
  | { readonly is: "open" }
  | { readonly is: "ended"; readonly reason: BelayError };

export class Relay implements Disposable {
  readonly channelId: string;
  readonly sandboxId: string;
  readonly sessionId: string;
  /** What it leads to, in the sandbox. */
  readonly target: RelayTarget["case"];
  /** Whether an empty frame, each way, says that a direction has ended (the feature `relay-end`). */
  readonly marksEnds: boolean;
  readonly pipe = new RelayPipe();
  readonly #ended = new AbortController();
  readonly #onEnd: () => void;
  #state: RelayState;

  constructor(options: {
    channelId: string;
    sandboxId: string;
    sessionId: string;
    target: RelayTarget["case"];
    marksEnds: boolean;
    /** Called once, when a RelayStream claims the relay. */
    deliver: (relay: Relay) => void;
    onEnd: () => void;
  }) {
    this.channelId = options.channelId;
    this.sandboxId = options.sandboxId;
    this.sessionId = options.sessionId;
    this.target = options.target;
    this.marksEnds = options.marksEnds;
    this.#onEnd = options.onEnd;
    this.#state = { is: "pending", deliver: options.deliver };
  }

  get state(): RelayState {
    return this.#state;
  }

  get ids(): ErrorIds {
    return { sandboxId: this.sandboxId, sessionId: this.sessionId, channelId: this.channelId };
  }

  /** Aborts when the relay ends; its reason is a BelayError. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** False when it was claimed before, or has ended. */
  claim(): boolean {
    if (this.#state.is !== "pending") return false;
    const { deliver } = this.#state;
    this.#state = { is: "open" };
    deliver(this);
    return true;
  }

  /** Breaks the relay: what it still carried is lost. The first reason counts. */
  fail(reason: BelayError): void {
    this.#end(reason);
    this.pipe.destroy(reason); // also after it was let go: nobody takes what it may still hold
  }

  /** Lets the relay go after its work is done; what was written is still sent. */
  [Symbol.dispose](): void {
    this.#end(new BelayError("relay_dropped", "relay closed", { ids: this.ids }));
    this.pipe.end();
  }

  #end(reason: BelayError): void {
    if (this.#state.is === "ended") return;
    this.#state = { is: "ended", reason };
    this.#onEnd();
    this.#ended.abort(reason);
  }
}
