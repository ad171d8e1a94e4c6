// http2-gateway.ts: the fake gateway on a real port of this machine, behind wires that a test can cut.
import { once } from "node:events";
import * as http2 from "node:http2";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { FakeGateway } from "../../src/testing/index.ts";

export interface Http2Gateway extends AsyncDisposable {
  readonly url: string;
  /** How many connections were made. */
  readonly connections: number;
  readonly headers: http2.IncomingHttpHeaders[];
  /** Resets every connection. */
  cut(): void;
  /** Connections stay open, and nothing passes any more, in either direction. New ones are well. */
  freeze(): void;
  /** Says GOAWAY on every connection. */
  goAway(): void;
}

export async function serveHttp2(gateway: FakeGateway): Promise<Http2Gateway> {
  const headers: http2.IncomingHttpHeaders[] = [];
  const sessions = new Set<http2.ServerHttp2Session>();
  const handle = connectNodeAdapter({ routes: gateway.routes });
  const server = http2.createServer((request, response) => {
    headers.push(request.headers);
    handle(request, response);
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  const port = await listen(server);

  const sockets = new Set<Socket>();
  let connections = 0;
  const wires = createServer((client) => {
    connections += 1;
    const inner = connect({ port, host: "127.0.0.1" });
    for (const [from, to] of [
      [client, inner],
      [inner, client],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const url = `http://127.0.0.1:${await listen(wires)}`;

  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    url,
    headers,
    get connections() {
      return connections;
    },
    cut,
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    goAway: () => {
      for (const session of sessions) session.goaway();
    },
    async [Symbol.asyncDispose]() {
      cut();
      wires.close();
      server.close();
      await Promise.all([once(wires, "close"), once(server, "close")]);
    },
  };
}

async function listen(server: Server | http2.Http2Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
