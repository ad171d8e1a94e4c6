// relay-duplex.ts: the supervisor's end of one RelayStream call as a Node Duplex, for an SSH server to run on.
import { Duplex } from "node:stream";
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { RelayFrameSchema } from "@belay/protocol";
import type { OpenShell, RelayFrame } from "@belay/protocol";

const maxFrameBytes = 16 * 1024;

export class RelayDuplex extends Duplex {
  /** Resolves with undefined when the gateway ended the call with OK, else with its error. Never rejects. */
  readonly ended: Promise<unknown>;
  /** Data bytes that came from the gateway, swallowed ones included. */
  receivedBytes = 0;
  readonly #cancel = new AbortController();
  #pending: { frames: RelayFrame[]; taken: (error?: Error) => void } | undefined;
  #outputEnded = false;
  #wakeSender: (() => void) | undefined;
  #wakeReceiver: (() => void) | undefined;
  #wedged = false;

  /** @param first The frames that open the call; a well-behaved supervisor sends one init. */
  constructor(client: Client<typeof OpenShell>, first: RelayFrame[]) {
    super({ allowHalfOpen: true });
    this.on("error", () => {});
    this.ended = this.#run(client, first);
  }

  /** From now on what comes is swallowed, so that nothing above answers any more. What was said before still goes out. */
  wedge(): void {
    this.#wedged = true;
    this.#wakeReceiver?.();
  }

  override _write(data: Buffer, _encoding: string, taken: (error?: Error | null) => void): void {
    const frames: RelayFrame[] = [];
    for (let at = 0; at < data.length; at += maxFrameBytes) {
      // A copy: ssh2 may reuse the memory of a packet once the write was called back.
      frames.push(dataFrame(new Uint8Array(data.subarray(at, at + maxFrameBytes))));
    }
    this.#pending = { frames, taken };
    this.#wakeSender?.();
  }

  override _final(done: () => void): void {
    this.#outputEnded = true;
    this.#wakeSender?.();
    done();
  }

  override _read(): void {
    this.#wakeReceiver?.();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancel.abort();
    this.#outputEnded = true;
    this.#wakeSender?.();
    this.#wakeReceiver?.();
    done(error);
  }

  async #run(client: Client<typeof OpenShell>, first: RelayFrame[]): Promise<unknown> {
    try {
      for await (const frame of client.relayStream(this.#send(first), {
        signal: this.#cancel.signal,
      })) {
        if (frame.payload.case !== "data") continue;
        this.receivedBytes += frame.payload.value.length;
        if (this.#wedged || this.push(frame.payload.value)) continue;
        await new Promise<void>((resolve) => (this.#wakeReceiver = resolve));
      }
      if (this.#wedged) return undefined;
      // The call is over both ways, but what came with it is to be read first.
      this.once("end", () => this.destroy());
      this.push(null);
      return undefined;
    } catch (error) {
      this.destroy();
      return error;
    }
  }

  async *#send(first: RelayFrame[]): AsyncGenerator<RelayFrame> {
    yield* first;
    for (;;) {
      const pending = this.#pending;
      if (pending !== undefined) {
        yield* pending.frames;
        this.#pending = undefined;
        // Called back in a later turn: ssh2 does not stand being re-entered.
        setImmediate(pending.taken);
        continue;
      }
      if (this.#outputEnded) return;
      await new Promise<void>((resolve) => (this.#wakeSender = resolve));
    }
  }
}

export function initFrame(channelId: string): RelayFrame {
  return create(RelayFrameSchema, { payload: { case: "init", value: { channelId } } });
}

export function dataFrame(value: Uint8Array<ArrayBuffer>): RelayFrame {
  return create(RelayFrameSchema, { payload: { case: "data", value } });
}
