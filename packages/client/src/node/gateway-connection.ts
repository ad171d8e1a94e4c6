// gateway-connection.ts: the HTTP/2 connection of a client to its gateway: made when it is needed, watched
// while it is used, and made anew after it has ended.
import * as http2 from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";
import { BelayError, toConnectError } from "@belay/protocol";
import type { Outcome } from "@belay/protocol";
import { watchLiveness } from "@belay/relay-core/portable";
import type { Clock } from "@belay/relay-core/portable";

export interface GatewayConnectionOptions {
  readonly gateway: URL;
  /** PEM: trusted instead of the system's authorities. */
  readonly ca: string | Uint8Array | undefined;
  readonly keepalive: { readonly probeEveryMs: number; readonly deadAfterMs: number };
  /** Until the gateway has spoken HTTP/2. In milliseconds. */
  readonly connectMs: number;
  readonly clock: Clock;
}

type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/** Throughput is window / (2 · round trip). */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

/**
 * connect-node has a manager of its own; but after an unanswered PING, a call that is made at once ends
 * the process with an uncaught error there (2.2.0), and making calls at once is what a client is for.
 */
export class GatewayConnection implements SessionManager, Disposable {
  readonly authority: string;
  readonly #options: GatewayConnectionOptions;
  /** Of those that still carry calls; the newest takes new ones. */
  readonly #connections = new Set<Connection>();
  #current: Connection | undefined;
  #isDisposed = false;

  constructor(options: GatewayConnectionOptions) {
    this.authority = options.gateway.origin;
    this.#options = options;
  }

  /** @throws ConnectError `session_lost`, `not_started`: nothing has been sent. */
  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    if (this.#isDisposed) throw toConnectError(notConnected(this.authority, "closed"));
    const connection = this.#current?.isUsable ? this.#current : this.#connect();
    const problem = await connection.ready;
    if (problem) throw toConnectError(notConnected(this.authority, problem));
    try {
      return connection.open({ ...headers, ":method": method, ":path": path }, options);
    } catch (cause) {
      throw toConnectError(notConnected(this.authority, cause)); // it ended in this turn
    }
  }

  /** Liveness counts the raw socket's bytes: what the program has read proves less. */
  notifyResponseByteRead(): void {}

  /** Resets every call that still runs. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const connection of this.#connections) connection.close("closed");
  }

  #connect(): Connection {
    const connection = new Connection(this.#options, () => this.#connections.delete(connection));
    this.#connections.add(connection);
    this.#current = connection;
    return connection;
  }
}

class Connection {
  /** Resolves when calls can be made, or with why they cannot. */
  readonly ready: Promise<unknown>;
  readonly #socket: Socket;
  readonly #session: http2.ClientHttp2Session;
  readonly #options: GatewayConnectionOptions;
  readonly #onClosed: () => void;
  readonly #connectTimer: { cancel(): void };
  #watch: { stop(): void } | undefined;
  #settle!: (problem: unknown) => void;
  #streams = 0;
  #isClosed = false;
  #isGoingAway = false;

  constructor(options: GatewayConnectionOptions, onClosed: () => void) {
    const { gateway, ca, connectMs, clock } = options;
    this.#options = options;
    this.#onClosed = onClosed;
    this.ready = new Promise((resolve) => (this.#settle = resolve));
    this.#socket = openSocket(gateway, ca);
    this.#session = http2.connect(gateway.origin, {
      createConnection: () => this.#socket,
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
    });
    // These listeners stay: an error without one would end the process.
    this.#socket.on("error", (error) => this.close(error));
    this.#socket.on("close", () => this.close("the connection was closed"));
    this.#session.on("error", (error) => this.close(error));
    this.#session.on("close", () => this.close("the connection was closed"));
    this.#session.on("goaway", () => (this.#isGoingAway = true));
    this.#session.once("remoteSettings", () => {
      this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
      this.#connectTimer.cancel();
      this.#settle(undefined);
      this.#becomeIdle();
    });
    this.#connectTimer = clock.setTimer(connectMs, () =>
      this.close(`no HTTP/2 within ${connectMs} ms`),
    );
  }

  get isUsable(): boolean {
    return !this.#isClosed && !this.#isGoingAway;
  }

  open(
    headers: http2.OutgoingHttpHeaders,
    options: http2.ClientSessionRequestOptions,
  ): http2.ClientHttp2Stream {
    const stream = this.#session.request(headers, options);
    if (this.#streams++ === 0) this.#becomeBusy();
    stream.once("close", () => {
      if (--this.#streams === 0) this.#becomeIdle();
    });
    return stream;
  }

  /** Ends everything on it at once. The first reason counts. */
  close(problem: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#settle(problem);
    this.#connectTimer.cancel();
    this.#watch?.stop();
    this.#onClosed();
    // With an error: a call whose answer has not begun would not hear of its end otherwise. What was sent
    // may have arrived.
    const error = toConnectError(lost(this.#options.gateway.origin, problem, "unknown"));
    this.#session.destroy(error, http2.constants.NGHTTP2_CANCEL);
    // With a full socket and a dead peer, the session would wait for ever for its socket to end.
    setImmediate(() => this.#socket.destroy());
  }

  #becomeBusy(): void {
    this.#session.ref();
    const { keepalive, clock } = this.#options;
    this.#watch = watchLiveness(
      {
        seen: () => this.#socket.bytesRead,
        probe: () => void this.#session.ping(() => {}), // does nothing after a GOAWAY
        onDead: () => this.close(`no byte for ${keepalive.deadAfterMs} ms`),
      },
      keepalive,
      clock,
    );
  }

  /** Without a call, a connection is not watched, and does not keep its process running. */
  #becomeIdle(): void {
    this.#watch?.stop();
    if (!this.#isClosed) this.#session.unref();
  }
}

function notConnected(authority: string, cause: unknown): BelayError {
  return lost(authority, cause, "not_started");
}

function lost(authority: string, cause: unknown, outcome: Outcome): BelayError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `no connection to ${authority}: ${why}`;
  return new BelayError("session_lost", message, { outcome, cause });
}

function openSocket(gateway: URL, ca: string | Uint8Array | undefined): Socket {
  const isTls = gateway.protocol === "https:";
  const host = gateway.hostname.replace(/^\[|\]$/g, "");
  const port = Number(gateway.port || (isTls ? 443 : 80));
  const socket = isTls
    ? connectTls({
        ...(ca !== undefined && { ca: typeof ca === "string" ? ca : Buffer.from(ca) }),
        host,
        port,
        ALPNProtocols: ["h2"],
        ...(!isIP(host) && { servername: host }),
      })
    : connectTcp({ host, port });
  socket.setNoDelay(true);
  return socket;
}
