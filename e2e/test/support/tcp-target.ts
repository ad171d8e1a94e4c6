// tcp-target.ts: a TCP server in the test's own process, for forwards to lead to: the sandbox's loopback is ours.
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { poll } from "../../src/wait.ts";

export interface TargetConnection {
  readonly socket: Socket;
  /** How its reading ended, once it has: "end" for a FIN, else the error's code. */
  how: string | undefined;
}

export class TcpTarget implements AsyncDisposable {
  readonly port: number;
  readonly connections: TargetConnection[];
  readonly #close: () => Promise<void>;

  private constructor(port: number, connections: TargetConnection[], close: () => Promise<void>) {
    this.port = port;
    this.connections = connections;
    this.#close = close;
  }

  /** @param serve may not be set: then it takes what comes and says nothing. */
  static async start(
    serve: (socket: Socket) => void = (socket) => socket.resume(),
    host = "127.0.0.1",
  ): Promise<TcpTarget> {
    const connections: TargetConnection[] = [];
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const connection: TargetConnection = { socket, how: undefined };
      connections.push(connection);
      socket.on("end", () => (connection.how ??= "end"));
      socket.on("error", (error: NodeJS.ErrnoException) => (connection.how ??= error.code));
      serve(socket);
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen(0, host, resolve);
    await promise;
    return new TcpTarget((server.address() as AddressInfo).port, connections, async () => {
      for (const { socket } of connections) socket.destroy();
      await new Promise((done) => server.close(done));
    });
  }

  async connection(at = 0): Promise<TargetConnection> {
    return await poll(`connection ${at} to the target`, () => this.connections[at]);
  }

  /** How the reading of a connection ended. */
  async ended(at = 0): Promise<string> {
    const connection = await this.connection(at);
    return await poll(`the end of connection ${at}`, () => connection.how);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** A port that nothing listens on, which was free a moment ago. */
export async function closedPort(): Promise<number> {
  const target = await TcpTarget.start();
  await target[Symbol.asyncDispose]();
  return target.port;
}
