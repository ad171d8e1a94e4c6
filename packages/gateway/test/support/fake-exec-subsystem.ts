// fake-exec-subsystem.ts: the exec subsystem of a supervisor in this process. It speaks frames; what
// they say, the test plays.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { GatewayFrameSchema, SupervisorFrameSchema } from "@belay/protocol";
import type { GatewayFrame } from "@belay/protocol";
import { encodeFrame, encodeOutputFrame, FrameDecoder } from "@belay/relay-core";
import type { RelayPipe } from "@belay/relay-core";
import type { Connection, ServerChannel } from "ssh2";
import type { Relay } from "../../src/relays/relay.ts";
import { until } from "@belay/relay-core/testing";

export interface SubsystemScript {
  /** Decides on a request for the subsystem; by default it is accepted. Called for spare channels too. */
  readonly onSubsystem?: (accept: () => FakeConversation, reject: () => void) => void;
  /** Each frame as it comes, the first one of a channel included. */
  readonly onFrame?: (frame: GatewayFrame, conversation: FakeConversation) => void;
}

export interface SubsystemPlace {
  readonly channel: ServerChannel;
  readonly connection: Connection;
  /** The relay under it, as the gateway has it, and the supervisor's end of it. */
  readonly relay: Relay;
  readonly pipe: RelayPipe;
}

/** One channel with the subsystem started on it. */
export class FakeConversation {
  readonly channel: ServerChannel;
  readonly connection: Connection;
  readonly relay: Relay;
  readonly pipe: RelayPipe;
  /** The gateway's frames so far, those that were read. */
  readonly received: GatewayFrame[] = [];
  readonly #decoder = new FrameDecoder(GatewayFrameSchema);
  readonly #onFrame: (frame: GatewayFrame, conversation: FakeConversation) => void;
  #taken = 0;
  #holds = false;
  #closed = false;

  constructor(
    { channel, connection, relay, pipe }: SubsystemPlace,
    onFrame: (frame: GatewayFrame, conversation: FakeConversation) => void,
  ) {
    this.channel = channel;
    this.connection = connection;
    this.relay = relay;
    this.pipe = pipe;
    this.#onFrame = onFrame;
    channel.on("error", () => {});
    channel.on("readable", () => this.#read());
    channel.on("close", () => (this.#closed = true));
  }

  /** The exec that its first frame named; empty before. */
  get execId(): string {
    return this.received[0]?.execId ?? "";
  }

  /** Whether the channel is closed, by whomever. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The next frame that this has not given yet. */
  async next(): Promise<GatewayFrame> {
    await until(
      () => this.received.length > this.#taken || this.#closed,
      "the gateway's next frame",
    );
    const frame = this.received[this.#taken];
    if (!frame) throw new Error("the channel closed before the next frame");
    this.#taken += 1;
    return frame;
  }

  /** False when the gateway's window is full; `drained()` then waits for it. */
  send(frame: MessageInitShape<typeof SupervisorFrameSchema>): boolean {
    return this.sendBytes(encodeFrame(SupervisorFrameSchema, frame));
  }

  sendOutput(stream: "stdout" | "stderr", offset: number, data: string | Uint8Array): boolean {
    return this.sendBytes(encodeOutputFrame(stream, offset, Buffer.from(data)));
  }

  /** For bytes that are no frames. */
  sendBytes(bytes: Buffer): boolean {
    return this.channel.write(bytes);
  }

  /** Resolves when all that was sent is within the gateway's window. */
  drained(): Promise<void> {
    return until(() => this.channel.writableLength === 0, "the gateway takes what was sent");
  }

  /** Reads no more, so that the gateway's window fills up. */
  stopReading(): void {
    this.#holds = true;
  }

  readOn(): void {
    this.#holds = false;
    this.#read();
  }

  /** EOF and CLOSE, after all that was sent. */
  close(): void {
    this.channel.end();
  }

  #read(): void {
    while (!this.#holds) {
      const chunk = this.channel.read() as Buffer | null;
      if (!chunk) return;
      this.#decoder.push(chunk);
      for (let frame = this.#decoder.next(); frame; frame = this.#decoder.next()) {
        this.received.push(frame);
        this.#onFrame(frame, this);
      }
    }
  }
}
