// forward.ts: bytes to and from a port of a sandbox, or its SSH server: one ForwardTcp, with a token of
// its own.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, fromConnectError } from "@belay/protocol";
import type { TcpForwardFrame, TcpForwardFrameSchema } from "@belay/protocol";
import { sleep, untilAbort, waitAtMost } from "@belay/relay-core/portable";
import type { ClientContext } from "./context.ts";
import { signalOf } from "./exec-handle.ts";
import type { Abortable } from "./exec-handle.ts";
import { unaryCall } from "./unary-call.ts";

/** A port of the sandbox's loopback, or its SSH server. */
export type ForwardTarget =
  | { readonly is: "ssh" }
  | {
      readonly is: "tcp";
      readonly port: number;
      /** A loopback address of the sandbox. Default "localhost": IPv4 or IPv6, whichever listens. */
      readonly host?: string;
    };

type FrameInit = MessageInitShape<typeof TcpForwardFrameSchema>;
type Init = Extract<NonNullable<FrameInit["payload"]>, { case: "init" }>["value"];

/** @throws BelayError, or the signal's reason. */
export async function openForward(
  sandboxId: string,
  target: ForwardTarget,
  input: AsyncIterable<Uint8Array>,
  context: ClientContext,
  signal: AbortSignal,
): Promise<Forward> {
  const token = await sessionToken(sandboxId, context, signal);
  return new Forward({ sandboxId, target, token }, input, context);
}

async function sessionToken(
  sandboxId: string,
  context: ClientContext,
  signal: AbortSignal,
): Promise<string> {
  try {
    const { token } = await unaryCall(
      (call) => context.openshell.createSshSession({ sandboxId }, call),
      {
        context,
        what: "CreateSshSession",
        windowMs: () => context.limits.startWindowMs,
        isStarted: false,
        idempotent: false, // each makes a token
        ids: { sandboxId },
        signal,
      },
    );
    return token;
  } catch (error) {
    throw error instanceof BelayError ? error.with({ outcome: "not_started" }) : error;
  }
}

export class Forward implements AsyncDisposable {
  readonly #context: ClientContext;
  /** Secret. */
  readonly #token: string;
  readonly #abort = new AbortController();
  readonly #frames: AsyncIterator<TcpForwardFrame>;
  /** Asked for and not given to a reader yet. */
  #next: Promise<IteratorResult<TcpForwardFrame>> | undefined;
  #targetEnded = false;
  readonly #input: AsyncIterator<Uint8Array>;
  /** Asked for and not sent yet. */
  #nextInput: Promise<IteratorResult<Uint8Array>> | undefined;
  /** Aborts when no more input is to be sent. */
  readonly #inputOver = new AbortController();

  constructor(
    { sandboxId, target, token }: { sandboxId: string; target: ForwardTarget; token: string },
    input: AsyncIterable<Uint8Array>,
    context: ClientContext,
  ) {
    this.#context = context;
    this.#token = token;
    const init = { sandboxId, target: wireTarget(target), authorizationToken: token };
    const call = { signal: this.#abort.signal };
    this.#input = input[Symbol.asyncIterator]();
    this.#frames = context.openshell.forwardTcp(this.#sent(init), call)[Symbol.asyncIterator]();
    // The call's failure has to have a reader from the beginning.
    this.#next = untilAbort(this.#frames.next(), this.#abort.signal);
    this.#next.catch(() => {});
  }

  /**
   * The target's next bytes; undefined at its end. What is not received holds the target up.
   * @throws BelayError: the forward was not opened, or broke, as its outcome says; or the signal's reason,
   * and nothing is lost: receive again.
   */
  async receive(options: Abortable = {}): Promise<Uint8Array | undefined> {
    const signal = signalOf(options);
    if (this.#targetEnded) return undefined;
    try {
      this.#next ??= untilAbort(this.#frames.next(), this.#abort.signal);
      const next = await untilAbort(this.#next, signal);
      this.#next = undefined;
      if (!next.done) return dataOf(next.value);
      this.#targetEnded = true;
      // Connect sends nothing any more once the response has ended, except, now, the input's end.
      this.#inputOver.abort(new Error("the target has ended"));
      return undefined;
    } catch (reason) {
      signal.throwIfAborted();
      this.#abort.signal.throwIfAborted();
      throw fromConnectError(reason);
    }
  }

  /**
   * Ends the input now, as its own end would, and waits for the target's end, at most `limits.leaveMs`;
   * what still comes is dropped. To the target, whoever merely disposes has vanished.
   */
  async leave(): Promise<void> {
    this.#inputOver.abort(new Error("left"));
    const { clock, limits } = this.#context;
    const wait = {
      what: "the target's end",
      limitMs: limits.leaveMs,
      kind: "deadline_exceeded",
    } as const;
    const drop = async (signal: AbortSignal) => {
      while (await this.receive({ signal }));
    };
    await waitAtMost(wait, clock, drop, this.#abort).catch(() => {}); // it ended, one way or another
  }

  /**
   * To be called after the target's end: resolves when what was sent has had its time to arrive, for
   * disposing cuts what is on its way. False when there was input that could not be sent any more: the
   * target's end is the forward's. It waits for the input to go on or to end.
   * @throws the signal's reason.
   */
  async settled(options: Abortable = {}): Promise<boolean> {
    const signal = signalOf(options);
    const { clock, limits } = this.#context;
    await sleep(limits.forwardSettleMs, clock, signal);
    this.#nextInput ??= this.#input.next();
    const { done } = await untilAbort(this.#nextInput, signal);
    return done === true;
  }

  /** Cuts what is still open. Its token opens nothing any more, unless the gateway cannot be reached. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new BelayError("canceled", "the forward was given up"));
    const { clock, limits, openshell } = this.#context;
    const wait = {
      what: "RevokeSshSession",
      limitMs: limits.revokeMs,
      kind: "deadline_exceeded",
    } as const;
    const revoke = (signal: AbortSignal) =>
      openshell.revokeSshSession({ token: this.#token }, { signal });
    // What is not revoked expires.
    await waitAtMost(wait, clock, revoke, new AbortController()).catch(() => {});
  }

  async *#sent(init: Init): AsyncGenerator<FrameInit> {
    yield { payload: { case: "init", value: init } };
    const maxBytes = this.#context.limits.forwardFrameBytes;
    for (;;) {
      const chunk = await this.#takeInput();
      if (!chunk) return;
      for (let at = 0; at < chunk.byteLength; at += maxBytes) {
        if (at + maxBytes >= chunk.byteLength) this.#nextInput = undefined;
        yield { payload: { case: "data", value: chunk.subarray(at, at + maxBytes) } };
      }
    }
  }

  /** undefined when there is no more to send. @throws what the input throws: a break, not an end. */
  async #takeInput(): Promise<Uint8Array | undefined> {
    const { signal } = this.#inputOver;
    if (signal.aborted) return undefined;
    this.#nextInput ??= this.#input.next();
    try {
      const next = await untilAbort(this.#nextInput, signal);
      return next.done ? undefined : next.value;
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }
}

function wireTarget(target: ForwardTarget): NonNullable<Init["target"]> {
  if (target.is === "ssh") return { case: "ssh", value: {} };
  return { case: "tcp", value: { host: target.host ?? "localhost", port: target.port } };
}

function dataOf({ payload }: TcpForwardFrame): Uint8Array {
  if (payload.case === "data") return payload.value;
  throw new BelayError(
    "protocol_violation",
    "a forward was answered with something else than data",
  );
}
