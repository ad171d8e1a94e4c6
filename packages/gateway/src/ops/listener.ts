// listener.ts: one port for everything: HTTP/2 with prior knowledge and HTTP/1.1 in clear, or both by
// ALPN under TLS.
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { AddressInfo } from "node:net";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";

export type RequestHandler = (
  request: http.IncomingMessage & http2.Http2ServerRequest,
  response: http.ServerResponse & http2.Http2ServerResponse,
) => void;

export interface ListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly onRequest: RequestHandler;
  /** Each HTTP/2 connection, with the raw socket under it. */
  readonly onHttp2Connection: (session: http2.ServerHttp2Session, socket: net.Socket) => void;
}

export interface Listener {
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Takes no more connections; those that there are may finish within `limitMs`, then are cut. */
  close(limitMs: number): Promise<void>;
}

const STREAM_WINDOW_BYTES = 1024 * 1024;

const HTTP2_OPTIONS: http2.ServerOptions = {
  settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: 1_024 },
  // With the default of 10 MB, a hundred stalled responses make the server refuse new calls.
  maxSessionMemory: 256,
  // The default of 1,000 resets, refilled at 33/s, ends the connection: all relays of a sandbox with
  // it, because their execs were canceled. Calls are limited by exec, not by stream.
  streamResetBurst: 100_000,
  streamResetRate: 10_000,
};

/** Silence on an HTTP/1.1 connection is probed by the kernel: at first after this, then ten times,
 * a second apart (libuv), which makes the 20 s of HTTP/2's keepalive. */
const TCP_KEEPALIVE_MS = 10_000;

/** @throws the system's error (EADDRINUSE and the like) when the address cannot be taken. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const sockets = new Set<net.Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  const http2Server = options.tls
    ? http2.createSecureServer({
        ...HTTP2_OPTIONS,
        ...options.tls,
        allowHTTP1: true,
        handshakeTimeout: options.limits.firstBytesMs,
      })
    : http2.createServer(HTTP2_OPTIONS);
  const http1Server = http.createServer();
  let latestSocket: net.Socket;

  const onSocket = (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // told by "close"; without a listener it would end the process
    socket.once("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
  };
  // "session" is emitted synchronously inside these, so that the latest socket is the session's.
  http2Server.prependListener(options.tls ? "secureConnection" : "connection", (socket) => {
    latestSocket = socket as net.Socket;
  });
  http2Server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => {});
    options.onHttp2Connection(session, latestSocket);
  });
  http2Server.on("sessionError", () => {});
  http2Server.on("tlsClientError", () => {});
  for (const server of [http1Server, http2Server]) {
    server.on(
      "request",
      (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
        settleWritesOfLostStream(request, response);
        closeUnendedRequest(request, options);
        (options.onRequest as unknown as typeof http1Handler)(request, response);
      },
    );
  }
  // A server that does not listen itself starts its timeouts for slow requests only when told so.
  http1Server.emit("listening");

  const portServer = options.tls ? (http2Server as http2.Http2SecureServer) : net.createServer();
  portServer.on("connection", onSocket);
  if (!options.tls) {
    portServer.on("connection", (socket: net.Socket) =>
      sniffHttpVersion(socket, options, (isHttp2) =>
        (isHttp2 ? http2Server : http1Server).emit("connection", socket),
      ),
    );
  }

  await new Promise<void>((resolve, reject) => {
    portServer.once("error", reject);
    portServer.listen(options.port, options.host, () => {
      portServer.off("error", reject);
      // Accepting may fail for a while (EMFILE): that must not end the process or the listener.
      portServer.on("error", () => {});
      resolve();
    });
  });

  const { port } = portServer.address() as AddressInfo;
  const host = net.isIPv6(options.host) ? `[${options.host}]` : options.host;
  return {
    url: `${options.tls ? "https" : "http"}://${host}:${port}`,
    async close(limitMs) {
      const closed = new Promise<void>((resolve) => portServer.close(() => resolve()));
      http1Server.close();
      http1Server.closeIdleConnections();
      for (const session of sessions) session.close();
      const cut = options.clock.setTimer(limitMs, () => {
        for (const socket of sockets) socket.destroy();
      });
      await closed;
      cut.cancel();
    },
  };
}

declare function http1Handler(request: unknown, response: unknown): void;

const HTTP2_PREFACE_START = "PRI";

/** The client speaks first: HTTP/2 with `PRI * HTTP/2.0`, HTTP/1.1 with a method that is not PRI. */
function sniffHttpVersion(
  socket: net.Socket,
  { limits, clock }: ListenerOptions,
  decided: (isHttp2: boolean) => void,
): void {
  const tooLate = clock.setTimer(limits.firstBytesMs, () => socket.destroy());
  let head = Buffer.alloc(0);
  const onReadable = () => {
    for (
      let chunk = socket.read() as Buffer | null;
      chunk;
      chunk = socket.read() as Buffer | null
    ) {
      head = Buffer.concat([head, chunk]);
    }
    const start = head.toString("latin1", 0, HTTP2_PREFACE_START.length);
    if (start === "" || (start.length < 3 && HTTP2_PREFACE_START.startsWith(start))) return;
    tooLate.cancel();
    socket.off("readable", onReadable);
    socket.unshift(head);
    decided(start === HTTP2_PREFACE_START);
  };
  socket.on("readable", onReadable);
  socket.once("close", () => tooLate.cancel());
}

/**
 * A response write that is stuck when its stream dies never settles, and with it the handler's
 * generator and all it holds stays for ever (measured on Node 22 to 26). `drain` lets it go.
 */
function settleWritesOfLostStream(
  request: http2.Http2ServerRequest,
  response: http2.Http2ServerResponse,
): void {
  (request.stream as http2.ServerHttp2Stream | undefined)?.once("close", () =>
    setImmediate(() => response.emit("drain")),
  );
}

/**
 * A client may leave its request open when it has its response (connect-node does, when it was in the
 * middle of a message), and its stream would then count until the connection ends. RFC 9113, 8.1: a
 * server that has answered may ask it to stop, with NO_ERROR.
 */
function closeUnendedRequest(
  request: http2.Http2ServerRequest,
  { limits, clock }: ListenerOptions,
): void {
  const stream = request.stream as http2.ServerHttp2Stream | undefined;
  stream?.once("finish", () => {
    if (stream.readableEnded || stream.closed) return;
    const late = clock.setTimer(limits.requestLingerMs, () =>
      stream.close(http2.constants.NGHTTP2_NO_ERROR),
    );
    stream.once("close", () => late.cancel());
  });
}
