// raw-connection.ts: a TCP connection on which a test says any bytes at all.
import { connect } from "node:net";
import type { Socket } from "node:net";
import { within } from "../../src/wait.ts";

export class RawConnection implements Disposable {
  readonly socket: Socket;
  /** Resolves when the other side is gone, by FIN or by RST. */
  readonly closed: Promise<void>;
  #received: Buffer[] = [];

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("error", () => {});
    this.socket.on("data", (bytes: Buffer) => this.#received.push(bytes));
  }

  get received(): Buffer {
    return Buffer.concat(this.#received);
  }

  say(bytes: Uint8Array | string): this {
    this.socket.write(bytes);
    return this;
  }

  /** Resolves with how long after `sinceMs` the other side had gone. */
  async goneAfterMs(sinceMs: number, limitMs: number): Promise<number> {
    await within("the end of a raw connection", limitMs, this.closed, () =>
      this.received.toString("latin1", 0, 200),
    );
    return performance.now() - sinceMs;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
