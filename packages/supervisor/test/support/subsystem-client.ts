// subsystem-client.ts: the gateway's end of the exec subsystem: channels that speak frames.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client, ClientChannel } from "ssh2";
import { EXEC_SUBSYSTEM, GatewayFrameSchema, SupervisorFrameSchema } from "@belay/protocol";
import type { ExecExit, ExecInfo, SupervisorFrame } from "@belay/protocol";
import { encodeFrame, FrameDecoder, systemClock, Wakeup } from "@belay/relay-core";
import type { PipePair } from "./pipe-pair.ts";

type Payload = NonNullable<MessageInitShape<typeof GatewayFrameSchema>["payload"]>;
type Answer = SupervisorFrame["payload"];

export class SubsystemClient {
  readonly client: Client;
  readonly pair: PipePair;

  constructor(client: Client, pair: PipePair) {
    this.client = client;
    this.pair = pair;
  }

  async open(): Promise<SubsystemChannel> {
    return new Promise((resolve, reject) => {
      this.client.subsys(EXEC_SUBSYSTEM, (error, channel) =>
        error ? reject(error) : resolve(new SubsystemChannel(channel)),
      );
    });
  }

  /** The answer to one question on a channel of its own. */
  async ask(execId: string, payload: Payload): Promise<Answer> {
    const channel = await this.open();
    channel.send(execId, payload);
    const answer = await channel.next();
    channel.close();
    return answer;
  }

  async info(execId: string, payload: Payload): Promise<ExecInfo> {
    const answer = await this.ask(execId, payload);
    if (answer.case !== "info") throw new Error(`expected info, got ${JSON.stringify(answer)}`);
    return answer.value;
  }

  /** As when a connection is reset: both ends of the relay break. */
  cut(): void {
    this.pair.server.destroy(new Error("cut"));
    this.pair.client.destroy(new Error("cut"));
  }
}

/** What came of an exec on one channel. */
export interface Followed {
  readonly info: ExecInfo;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Of dropped frames. */
  readonly droppedBytes: number;
  readonly exit: ExecExit | undefined;
}

const never = new AbortController().signal;

export class SubsystemChannel {
  readonly channel: ClientChannel;
  readonly #decoder = new FrameDecoder(SupervisorFrameSchema);
  readonly #changed = new Wakeup();

  constructor(channel: ClientChannel) {
    this.channel = channel;
    channel.on("error", () => {});
    for (const event of ["readable", "end", "close"]) channel.on(event, this.#changed.notify);
  }

  send(execId: string, payload: Payload): void {
    this.channel.write(encodeFrame(GatewayFrameSchema, { execId, payload }));
  }

  /** @throws when the channel ends first. */
  async next(): Promise<Answer> {
    for (;;) {
      const frame = this.#decoder.next();
      if (frame) return frame.payload;
      const chunk = this.channel.read() as Buffer | null;
      if (chunk) this.#decoder.push(chunk);
      else if (this.channel.readableEnded || this.channel.destroyed)
        throw new Error("channel ended");
      else await this.#changed.wait({ signal: never, clock: systemClock, limitMs: Infinity });
    }
  }

  /** Reads to the exit, or to the end of the log. */
  async followToEnd(): Promise<Followed> {
    const streams: Buffer[][] = [[], [], []];
    let info: ExecInfo | undefined;
    let droppedBytes = 0;
    for (;;) {
      const answer = await this.next();
      if (answer.case === "info") info ??= answer.value;
      else if (answer.case === "output") {
        streams[answer.value.stream]!.push(Buffer.from(answer.value.data));
      } else if (answer.case === "dropped") {
        droppedBytes += Number(answer.value.toOffset - answer.value.fromOffset);
      } else if (answer.case === "exit" || answer.case === "endOfLog") {
        return {
          info: info!,
          stdout: Buffer.concat(streams[1]!),
          stderr: Buffer.concat(streams[2]!),
          droppedBytes,
          exit: answer.case === "exit" ? answer.value : undefined,
        };
      } else if (answer.case !== "stdinAck") {
        throw new Error(`unexpected: ${JSON.stringify(answer)}`);
      }
    }
  }

  close(): void {
    this.channel.end();
    this.channel.close();
  }
}
