// forward-end.ts: what ends a forward from outside: its caller, its SSH session, the gateway's stop.
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";

export interface ForwardEndSources {
  /** The RPC's. */
  readonly caller: AbortSignal;
  /** The SSH session's, and the gateway's: they abort with a BelayError. */
  readonly others: readonly AbortSignal[];
}

/** One signal for all of them; the first counts, and is a BelayError. */
export class ForwardEnd implements Disposable {
  readonly #abort = new AbortController();
  readonly #listening = new DisposableStack();
  readonly #caller: Disposable;

  constructor({ caller, others }: ForwardEndSources) {
    this.#caller = this.#listening.use(
      onAbort(caller, (reason) => this.#abort.abort(callerGone(reason))),
    );
    for (const other of others) {
      this.#listening.use(onAbort(other, (reason) => this.#abort.abort(reason)));
    }
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Calls `act` when the end comes, or now if it has come. */
  onAbort(act: (reason: BelayError) => void): Disposable {
    return onAbort(this.signal, (reason) => act(reason as BelayError));
  }

  /** Once an RPC has answered, its signal aborts by itself, and says nothing of the caller any more. */
  ignoreCaller(): void {
    this.#caller[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}

function onAbort(signal: AbortSignal, act: (reason: unknown) => void): Disposable {
  const listener = () => act(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", listener) };
}

/** A cancel and a lost connection look alike here (library hazard), and mean the same to a forward. */
function callerGone(reason: unknown): BelayError {
  const deadline = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return deadline
    ? new BelayError("deadline_exceeded", "the caller's deadline passed", { cause: reason })
    : new BelayError("canceled", "the caller canceled or is gone", { cause: reason });
}
