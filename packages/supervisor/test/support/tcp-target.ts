// tcp-target.ts: a program of the sandbox that listens on a port, and what it does with connections.
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { until } from "./until.ts";

export class TcpTarget implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly #server;

  private constructor(onConnection: (socket: Socket) => void) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      this.sockets.push(socket);
      onConnection(socket);
    });
  }

  static async start(
    onConnection: (socket: Socket) => void = () => {},
    host = "127.0.0.1",
  ): Promise<TcpTarget> {
    const target = new TcpTarget(onConnection);
    await new Promise<void>((resolve) => target.#server.listen(0, host, resolve));
    return target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  connection(index = 0): Promise<Socket> {
    return until(`connection ${index} to the target`, () => this.sockets[index]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
