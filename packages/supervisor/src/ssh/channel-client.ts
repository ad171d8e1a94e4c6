// channel-client.ts: the client of an exec, at the other end of an SSH channel.
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { RelayPipe } from "@belay/relay-core";
import { untilAbort } from "@belay/relay-core";
import type { ServerChannel } from "ssh2";
import type { ExecClient, OutputStream } from "../execs/exec-client.ts";
import type { ProcessEnd } from "../process/process-handle.ts";
import { hardenChannel } from "./harden-channel.ts";
import type { HardenedChannel } from "./harden-channel.ts";
import { SSH_SIGNALS } from "./ssh2-internals.ts";

export interface ChannelClientOptions {
  readonly channel: ServerChannel;
  /** What the SSH connection speaks over. */
  readonly pipe: RelayPipe;
  readonly gone: AbortSignal;
  readonly inputIsOver: () => boolean;
}

export class ChannelClient implements ExecClient {
  readonly gone: AbortSignal;
  readonly inputIsOver: () => boolean;
  readonly #channel: HardenedChannel;
  readonly #pipe: RelayPipe;

  constructor({ channel, pipe, gone, inputIsOver }: ChannelClientOptions) {
    this.#channel = hardenChannel(channel, gone);
    this.#pipe = pipe;
    this.gone = gone;
    this.inputIsOver = inputIsOver;
  }

  get input(): Readable {
    return this.#channel;
  }

  async write(stream: OutputStream, chunk: Buffer): Promise<void> {
    const target = stream === "stdout" ? this.#channel : this.#channel.stderr;
    try {
      // The callback comes when all of it is within the peer's window.
      await untilAbort(new Promise<void>((sent) => target.write(chunk, () => sent())), this.gone);
      // ssh2 ignores that the pipe under it is full, and a peer may grant any window.
      while (this.#pipe.writableNeedDrain) {
        const drained = new Promise<void>((resolve) => this.#pipe.once("drain", resolve));
        await untilAbort(drained, this.gone);
      }
    } catch {
      // Gone: the exec hears of it from `gone`, and its output has no reader any more.
    }
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
