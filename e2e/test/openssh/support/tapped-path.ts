// tapped-path.ts: a way to a gateway on which a test reads along: who makes a token for itself tells nobody.
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { poll } from "../../../src/wait.ts";

export interface TappedPath extends AsyncDisposable {
  readonly url: string;
  /** The first SSH session's token that came this way. Without TLS, it is plain to see. */
  token(): Promise<string>;
}

export async function tapPath(gatewayUrl: string): Promise<TappedPath> {
  const { hostname: host, port } = new URL(gatewayUrl);
  const sockets = new Set<Socket>();
  let came = "";
  const server = createServer((socket) => {
    const gateway = connect({ host, port: Number(port) });
    gateway.on("data", (data) => {
      if (came.length < 16 * 1024) came += data.toString("latin1");
    });
    socket.pipe(gateway).pipe(socket);
    for (const one of [socket, gateway]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        socket.destroy();
        gateway.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    // 32 bytes in base64url; nothing else in an answer is as long.
    token: () => poll("a token", () => /(?<![\w-])[\w-]{43}(?![\w-])/.exec(came)?.[0]),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
