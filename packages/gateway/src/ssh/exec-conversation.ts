// exec-conversation.ts: one channel of the exec subsystem (belay/v1/exec_frames.proto): frames go out,
// frames come in, and its end is heard.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  BelayError,
  GatewayFrameSchema,
  isErrorKind,
  parseOutcome,
  SupervisorFrameSchema,
} from "@belay/protocol";
import type { ErrorIds, SupervisorFrame } from "@belay/protocol";
import { encodeFrame, FrameDecoder, untilAbort, Wakeup } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { ClientChannel } from "ssh2";
import type { SshConnection } from "./ssh-connection.ts";
import { keepToWindow } from "./ssh2-internals.ts";

export interface ExecConversation extends Disposable {
  /** Sandbox, session and relay. */
  readonly ids: ErrorIds;
  /** Of the supervisor that it speaks to. */
  readonly instanceId: string;
  /**
   * Resolves when there is room for more: in the SSH window, and in the relay.
   * @throws BelayError `relay_lost` when the channel or its way is gone; why, the frames that came
   * before may say: they are still to be had from `next()`.
   */
  send(
    frame: MessageInitShape<typeof GatewayFrameSchema>,
    options: { signal: AbortSignal },
  ): Promise<void>;
  /**
   * The next frame. What is not taken stays in the channel's window, so that a slow reader slows the
   * process. One caller at a time.
   * @throws BelayError what a `failed` frame says; `relay_lost` when the channel or its way has ended,
   * after the last whole frame; `protocol_violation` for a malformed one, or for more than the window; the signal's reason.
   */
  next(options: { signal: AbortSignal }): Promise<SupervisorFrame>;
  /** Closes the channel, which only detaches. Waits for nothing. */
  [Symbol.dispose](): void;
}

export interface ChannelConversationOptions {
  readonly ssh: SshConnection;
  readonly instanceId: string;
  readonly clock: Clock;
  /** Called once, at its disposal. */
  readonly onDetach: (conversation: ChannelConversation) => void;
  /** Called once, when both sides have closed the channel. */
  readonly onClosed: (conversation: ChannelConversation) => void;
}

export class ChannelConversation implements ExecConversation {
  readonly ids: ErrorIds;
  readonly instanceId: string;
  readonly #channel: ClientChannel;
  readonly #ssh: SshConnection;
  readonly #clock: Clock;
  readonly #onDetach: (conversation: ChannelConversation) => void;
  readonly #decoder = new FrameDecoder(SupervisorFrameSchema);
  readonly #gone = new AbortController();
  readonly #change = new Wakeup();
  #violation: BelayError | undefined;
  #isClosed = false;
  #isDetached = false;

  /** Attaches its listeners at once: a channel's events are not kept for whoever comes late. */
  constructor(channel: ClientChannel, options: ChannelConversationOptions) {
    this.ids = options.ssh.ids;
    this.instanceId = options.instanceId;
    this.#channel = channel;
    this.#ssh = options.ssh;
    this.#clock = options.clock;
    this.#onDetach = options.onDetach;
    keepToWindow(channel, () => {
      const violation = "the supervisor sent more than the window of the channel";
      this.lose(new BelayError("protocol_violation", violation, { outcome: "unknown" }));
      channel.close();
    });
    channel.on("readable", () => this.#onReadable());
    channel.on("end", () => this.lose(lost("the supervisor closed the channel")));
    channel.on("error", (cause: unknown) => this.lose(lost("the channel broke", cause)));
    channel.on("close", () => {
      this.#isClosed = true;
      this.lose(lost("the supervisor closed the channel"));
      options.onClosed(this);
    });
    // The subsystem has no second stream; what came on one would use up the window of the first.
    channel.stderr.resume();
  }

  /** Whether both sides have closed the channel: until then ssh2 keeps it. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether it can carry no more. */
  get isGone(): boolean {
    return this.#gone.signal.aborted;
  }

  async send(
    init: MessageInitShape<typeof GatewayFrameSchema>,
    { signal }: { signal: AbortSignal },
  ): Promise<void> {
    signal.throwIfAborted();
    if (this.#channel.writableEnded) this.lose(lost("the supervisor closed the channel"));
    this.#gone.signal.throwIfAborted();
    const frame = encodeFrame(GatewayFrameSchema, init);
    const written = new Promise<void>((resolve) => this.#channel.write(frame, () => resolve()));
    // A write that waits for the window when the channel closes is never called back (library hazard).
    if (this.#channel.writableLength > 0) await this.#unlessGone(written, signal);
    if (this.#ssh.isFull) await this.#unlessGone(this.#ssh.room(), signal);
  }

  #unlessGone(promise: Promise<void>, signal: AbortSignal): Promise<void> {
    return untilAbort(untilAbort(promise, this.#gone.signal), signal);
  }

  async next({ signal }: { signal: AbortSignal }): Promise<SupervisorFrame> {
    signal.throwIfAborted();
    for (;;) {
      const frame = this.#take();
      if (frame) return frame;
      this.#gone.signal.throwIfAborted();
      await this.#change.wait({ signal, clock: this.#clock, limitMs: Infinity });
    }
  }

  /** The next whole frame that has come. Reads no further than it: the rest stays in the window. */
  #take(): SupervisorFrame | undefined {
    for (;;) {
      const frame = this.#decode();
      if (frame) return frame;
      const { readableLength } = this.#channel;
      if (readableLength === 0) {
        this.#channel.read(); // a stream that is over says so to whoever reads on
        return undefined;
      }
      const bytes = Math.min(readableLength, this.#decoder.missingBytes);
      this.#decoder.push(this.#channel.read(bytes) as Buffer);
    }
  }

  #decode(): SupervisorFrame | undefined {
    const frame = this.#nextDecoded();
    if (frame?.payload.case !== "failed") return frame;
    const { kind, outcome, message } = frame.payload.value;
    throw new BelayError(isErrorKind(kind) ? kind : "internal", message, {
      outcome: parseOutcome(outcome),
      ids: this.ids,
    });
  }

  /** After a malformed frame nobody knows where the next one begins. */
  #nextDecoded(): SupervisorFrame | undefined {
    if (this.#violation) throw this.#violation;
    try {
      return this.#decoder.next();
    } catch (error) {
      if (!(error instanceof BelayError)) throw error;
      this.#violation = error.with({ outcome: "unknown", ids: this.ids });
      throw this.#violation;
    }
  }

  #onReadable(): void {
    // What nobody will take is dropped, and an end is heard of though nobody waits: only of a stream
    // that is read to its end does ssh2 say that its channel is closed.
    if (this.#isDetached || this.#channel.readableLength === 0) this.#channel.read();
    this.#change.notify();
  }

  /** Tells whoever waits here that the channel, or its way, is gone. The first reason counts. */
  lose(reason: BelayError): void {
    if (this.isGone) return;
    this.#gone.abort(reason.with({ ids: this.ids }));
    this.#change.notify();
  }

  [Symbol.dispose](): void {
    if (this.#isDetached) return;
    this.#isDetached = true;
    this.lose(lost("the conversation is over"));
    this.#channel.close();
    this.#onDetach(this);
  }
}

function lost(message: string, cause?: unknown): BelayError {
  return new BelayError("relay_lost", message, { cause });
}
