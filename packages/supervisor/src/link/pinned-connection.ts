// pinned-connection.ts: one HTTP/2 connection to the gateway. It is never replaced silently: when it
// ends, everything on it hears so, once, and whoever wants another makes another.
import * as http2 from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { SecureContextOptions } from "node:tls";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";
import { BelayError, toConnectError } from "@belay/protocol";
import { waitAtMost, watchLiveness } from "@belay/relay-core";
import type { Clock, LivenessLimits } from "@belay/relay-core";

export interface PinnedConnectionOptions {
  readonly gateway: URL;
  /** For an https gateway: what to trust, who we are. */
  readonly tls?: SecureContextOptions;
  readonly keepalive: LivenessLimits;
  readonly connectMs: number;
  readonly socketCloseMs: number;
  readonly clock: Clock;
}

type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

/** Room for what is on the way, per relay and in all: throughput is window / (2 · round trip). */
const STREAM_WINDOW_BYTES = 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** In megabytes. Node's default of 10 refuses new streams while many are stalled. */
const MAX_SESSION_MEMORY_MB = 256;

/** connect-node's own manager reconnects without a word, and can crash the process. */
export class PinnedConnection implements SessionManager {
  readonly authority: string;
  readonly #options: PinnedConnectionOptions;
  readonly #socket: Socket;
  readonly #session: http2.ClientHttp2Session;
  readonly #closed = new AbortController();
  readonly #watch: { stop(): void };
  #isReady = false;
  #goaway: string | undefined;

  /**
   * Resolves when the gateway has spoken HTTP/2: a port that accepts and stays silent is none.
   * @throws BelayError `session_lost`, or the signal's reason.
   */
  static async open(
    options: PinnedConnectionOptions,
    { signal }: { signal: AbortSignal },
  ): Promise<PinnedConnection> {
    const connection = new PinnedConnection(options);
    const wait = {
      what: "connection to the gateway",
      limitMs: options.connectMs,
      kind: "session_lost",
    } as const;
    try {
      await waitAtMost(wait, options.clock, () => connection.#settingsReceived(), { signal });
    } catch (error) {
      connection.close(error);
      throw error;
    }
    return connection;
  }

  private constructor(options: PinnedConnectionOptions) {
    const { gateway, keepalive, clock } = options;
    this.#options = options;
    this.authority = gateway.origin;
    this.#socket = openSocket(options);
    this.#session = http2.connect(gateway.origin, {
      createConnection: () => this.#socket,
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
      maxSessionMemory: MAX_SESSION_MEMORY_MB,
    });
    // These listeners stay: an error without one would end the process.
    this.#socket.on("error", (error) => this.close(error));
    this.#socket.on("close", () => this.close());
    this.#session.on("error", (error) => this.close(error));
    this.#session.on("close", () => this.close());
    this.#session.on("goaway", (code) => (this.#goaway ??= `GOAWAY, code ${code}`));
    this.#watch = watchLiveness(
      {
        seen: () => this.#socket.bytesRead,
        probe: () => void this.#session.ping(() => {}), // does nothing after a GOAWAY
        onDead: () => this.close(new Error(`no byte for ${keepalive.deadAfterMs} ms`)),
      },
      keepalive,
      clock,
    );
  }

  /** Aborts when the connection has ended; the reason is a BelayError `session_lost`. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Ends everything on it at once. The first reason counts. */
  close(cause?: unknown): void {
    if (this.closed.aborted) return;
    const message = this.#isReady
      ? "connection to the gateway lost"
      : "no connection to the gateway";
    const reason = new BelayError("session_lost", message, { cause: cause ?? this.#goaway });
    this.#watch.stop();
    this.#closed.abort(reason);
    this.#session.destroy(undefined, http2.constants.NGHTTP2_CANCEL);
    // With a full socket and a dead peer, the session waits for ever for its socket to end.
    this.#options.clock.setTimer(this.#options.socketCloseMs, () => this.#socket.destroy());
  }

  request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, "signal">,
  ): Promise<http2.ClientHttp2Stream> {
    if (this.closed.aborted) return Promise.reject(toConnectError(this.closed.reason));
    if (this.#goaway) {
      const error = new BelayError("session_lost", "the gateway takes no more streams", {
        cause: this.#goaway,
      });
      return Promise.reject(toConnectError(error));
    }
    try {
      const request = { ...headers, ":method": method, ":path": path };
      return Promise.resolve(this.#session.request(request, options));
    } catch (error) {
      return Promise.reject(error as Error); // the session ended in this turn
    }
  }

  /** Liveness counts the raw socket's bytes: what the program has read proves less. */
  notifyResponseByteRead(): void {}

  #settingsReceived(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.closed.addEventListener("abort", () => reject(this.closed.reason as Error));
      this.#session.once("remoteSettings", () => {
        this.#isReady = true;
        this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
        resolve();
      });
    });
  }
}

function openSocket({ gateway, tls }: PinnedConnectionOptions): Socket {
  const isTls = gateway.protocol === "https:";
  const host = gateway.hostname.replace(/^\[|\]$/g, "");
  const port = Number(gateway.port || (isTls ? 443 : 80));
  const socket = isTls
    ? connectTls({
        ...tls,
        host,
        port,
        ALPNProtocols: ["h2"],
        ...(!isIP(host) && { servername: host }),
      })
    : connectTcp({ host, port });
  socket.setNoDelay(true);
  return socket;
}
