// echo-server.ts: plain TCP peers for the harness's own tests.
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { once } from "node:events";

export interface TestServer extends AsyncDisposable {
  port: number;
  /** Sockets accepted so far. */
  sockets: Socket[];
}

/** A server that gives each socket to `serve`. */
export async function startServer(serve: (socket: Socket) => void): Promise<TestServer> {
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

export async function startEchoServer(): Promise<TestServer> {
  return await startServer((socket) => socket.pipe(socket));
}

/** What a client socket saw, from its connect to now. */
export class TestClient implements Disposable {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ended = false;
  errorCode: string | undefined;
  readonly closed: Promise<void>;
  #chunks = new Set<() => void>();

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    this.socket.on("data", (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]);
      for (const look of this.#chunks) look();
    });
    this.socket.on("end", () => {
      this.ended = true;
      for (const look of this.#chunks) look();
    });
    this.socket.on("error", (error: NodeJS.ErrnoException) => (this.errorCode = error.code));
    this.closed = new Promise((resolve) => this.socket.on("close", () => resolve()));
  }

  /** Resolves once so many bytes have come; the test's own time limit bounds it. */
  async hasReceived(bytes: number): Promise<Buffer> {
    await this.#until(() => this.received.length >= bytes);
    return this.received;
  }

  async hasEnded(): Promise<void> {
    await this.#until(() => this.ended);
  }

  async #until(fact: () => boolean): Promise<void> {
    if (fact()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => (fact() ? resolve() : undefined);
    this.#chunks.add(look);
    await promise;
    this.#chunks.delete(look);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

export function patternBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8)) & 0xff;
  return bytes;
}
