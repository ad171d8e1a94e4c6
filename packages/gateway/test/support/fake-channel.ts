// fake-channel.ts: an ssh2 client channel whose server a test plays, message by message.
import { Readable } from "node:stream";
import type { ClientChannel } from "ssh2";

/** As ssh2 has it: 2 MiB of each stream wait for a reader. */
const WINDOW_BYTES = 2 * 1024 * 1024;

class Incoming extends Readable {
  constructor() {
    super({ highWaterMark: WINDOW_BYTES, emitClose: false, autoDestroy: false });
  }
  override _read(): void {}
}

export class FakeChannel extends Incoming {
  readonly stderr = new Incoming();
  /** What ssh2 keeps of the server's side. */
  readonly incoming = { state: "open" };

  get asClientChannel(): ClientChannel {
    return this as unknown as ClientChannel;
  }

  stdoutData(data: string | Buffer): void {
    this.push(data);
  }

  stderrData(data: string | Buffer): void {
    this.stderr.push(data);
  }

  exits(code: number): void {
    this.emit("exit", code);
  }

  /** @param signal as ssh2 gives it, with SIG. */
  dies(signal: string): void {
    this.emit("exit", null, signal, false, "");
  }

  eof(): void {
    this.incoming.state = "eof";
    this.push(null);
    this.stderr.push(null);
  }

  /** CLOSE; the streams end with it, and the event comes after the end of stdout, as in ssh2. */
  closes(): void {
    this.incoming.state = "closed";
    if (!this.#ended(this)) this.push(null);
    if (!this.#ended(this.stderr)) this.stderr.push(null);
    if (this.readableEnded) this.emit("close");
    else this.once("end", () => this.emit("close"));
  }

  #ended(stream: Readable): boolean {
    return (stream as unknown as { _readableState: { ended: boolean } })._readableState.ended;
  }
}
