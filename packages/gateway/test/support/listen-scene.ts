// listen-scene.ts: a listener on a free port of loopback, whose handler says what it was asked over.
import * as net from "node:net";
import type { Clock } from "@belay/relay-core";
import { ManualClock } from "@belay/relay-core/testing";
import type { GatewayLimits } from "../../src/limits.ts";
import { listen } from "../../src/ops/listener.ts";
import type { ListenerOptions, RequestHandler } from "../../src/ops/listener.ts";
import { testLimits } from "./test-limits.ts";

export const answerWithVersion: RequestHandler = (request, response) => {
  response.writeHead(200, { "content-type": "text/plain" });
  response.end(`${request.method} ${request.url} over ${request.httpVersion}\n`);
};

export async function listenScene(
  options: Partial<Pick<ListenerOptions, "tls" | "onRequest" | "onHttp2Connection">> & {
    clock?: Clock;
    limits?: Partial<GatewayLimits>;
  } = {},
) {
  const manual = new ManualClock();
  const clock = options.clock ?? manual;
  const sessions: number[] = [];
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    limits: testLimits(options.limits),
    clock,
    onRequest: options.onRequest ?? answerWithVersion,
    onHttp2Connection: (session, socket) => {
      sessions.push(socket.remotePort ?? 0);
      options.onHttp2Connection?.(session, socket);
    },
    ...(options.tls && { tls: options.tls }),
  });
  const port = Number(new URL(listener.url).port);
  return {
    listener,
    clock: manual,
    port,
    /** The client's port of each HTTP/2 connection, from the socket that came with it. */
    sessions,
    url: listener.url,
    [Symbol.asyncDispose]: async () => {
      const closed = listener.close(0);
      await manual.advance(0);
      await closed;
    },
  };
}

/** A client that speaks bytes. */
export function rawClient(port: number) {
  // Half-open, so that the server's answer is read after our own end.
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const received: Buffer[] = [];
  socket.on("data", (chunk) => received.push(chunk));
  socket.on("error", () => {});
  const ended = new Promise<void>((resolve) => {
    socket.once("end", resolve).once("close", () => resolve());
  });
  return {
    socket,
    ended,
    text: () => Buffer.concat(received).toString("latin1"),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}
