// channel-client.ts: the client of an exec, at the other end of an SSH channel.
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { ServerChannel } from "ssh2";
import type { ExecClient, OutputStream } from "../execs/exec-client.ts";
import type { ProcessEnd } from "../process/process-handle.ts";
import { ChannelWriter } from "./channel-writer.ts";
import type { PipeRoom } from "./channel-writer.ts";
import { hardenChannel } from "./harden-channel.ts";
import type { HardenedChannel } from "./harden-channel.ts";
import { SSH_SIGNALS } from "./ssh2-internals.ts";

export interface ChannelClientOptions {
  readonly channel: ServerChannel;
  readonly room: PipeRoom;
  readonly gone: AbortSignal;
  readonly inputIsOver: () => boolean;
}

export class ChannelClient implements ExecClient {
  readonly gone: AbortSignal;
  readonly inputIsOver: () => boolean;
  readonly #channel: HardenedChannel;
  readonly #writer: ChannelWriter;

  constructor({ channel, room, gone, inputIsOver }: ChannelClientOptions) {
    this.#channel = hardenChannel(channel, gone);
    this.#writer = new ChannelWriter(this.#channel, room, gone);
    this.gone = gone;
    this.inputIsOver = inputIsOver;
  }

  get input(): Readable {
    return this.#channel;
  }

  /** What nobody reads is dropped: the exec hears of that from `gone`. */
  async write(stream: OutputStream, chunk: Buffer): Promise<void> {
    await this.#writer.write(stream, chunk);
  }

  /** Status, EOF, CLOSE; without the EOF when the output is not complete. */
  report(end: ProcessEnd, { outputComplete }: { outputComplete: boolean }): void {
    if (end.is === "exited") {
      this.#channel.exit(end.exitCode);
    } else {
      const name = end.signal.replace(/^SIG/, "");
      if (SSH_SIGNALS.has(name)) this.#channel.exit(name, false, "");
      else this.#channel.exit(128 + constants.signals[end.signal]);
    }
    if (outputComplete) this.#channel.end();
    else this.#channel.close();
  }
}
