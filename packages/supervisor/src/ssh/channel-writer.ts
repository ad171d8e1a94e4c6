// channel-writer.ts: writes to a channel as fast as its reader, and the relay under it, take it.
import type { RelayPipe } from "@belay/relay-core";
import { untilAbort } from "@belay/relay-core";
import type { OutputStream } from "../execs/exec-client.ts";
import type { HardenedChannel } from "./harden-channel.ts";
import { isOpen } from "./ssh2-internals.ts";

/** One wait for all channels of a connection: ssh2 itself ignores that the pipe under it is full. */
export class PipeRoom {
  readonly #pipe: RelayPipe;
  #drained: Promise<void> | undefined;

  constructor(pipe: RelayPipe) {
    this.#pipe = pipe;
  }

  /** @throws the signal's reason. */
  async wait({ signal }: { signal: AbortSignal }): Promise<void> {
    while (this.#pipe.writableNeedDrain) {
      this.#drained ??= new Promise<void>((resolve) => this.#pipe.once("drain", resolve)).then(
        () => (this.#drained = undefined),
      );
      await untilAbort(this.#drained, signal);
    }
  }
}

export class ChannelWriter {
  readonly #channel: HardenedChannel;
  readonly #room: PipeRoom;
  readonly #gone: AbortSignal;

  /** @param gone aborts when nobody reads any more. */
  constructor(channel: HardenedChannel, room: PipeRoom, gone: AbortSignal) {
    this.#channel = channel;
    this.#room = room;
    this.#gone = gone;
  }

  /** Resolves when there is room for more; with false when nobody is there any more. Never throws. */
  async write(stream: OutputStream, chunk: Buffer): Promise<boolean> {
    const target = stream === "stdout" ? this.#channel : this.#channel.stderr;
    try {
      // The callback comes when all of it is within the peer's window.
      await untilAbort(new Promise<void>((sent) => target.write(chunk, () => sent())), this.#gone);
      await this.#room.wait({ signal: this.#gone }); // a peer may grant any window
      return isOpen(this.#channel);
    } catch {
      return false;
    }
  }
}
