// pinned-connection.ts: one HTTP/2 connection under connect-node that is never replaced silently, as a supervisor needs it.
import * as http2 from "node:http2";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";
import { Code, ConnectError } from "@connectrpc/connect";
import { within } from "./wait.ts";

type NodeHttp2ClientSessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

export class PinnedConnection implements NodeHttp2ClientSessionManager, Disposable {
  readonly authority: string;
  readonly socket: Socket;
  readonly session: http2.ClientHttp2Session;

  /** @param ca What an https server is trusted by, PEM. */
  constructor(url: string, { ca }: { ca?: string } = {}) {
    const { origin, protocol, hostname, port } = new URL(url);
    this.authority = origin;
    const to = { host: hostname, port: Number(port), noDelay: true };
    this.socket =
      protocol === "https:"
        ? connectTls({ ...to, ALPNProtocols: ["h2"], ...(ca !== undefined && { ca }) })
        : connect(to);
    this.socket.on("error", () => {});
    this.session = http2.connect(origin, {
      createConnection: () => this.socket,
      settings: { initialWindowSize: 1024 * 1024, enablePush: false },
    });
    this.session.on("error", () => {});
  }

  /** Resolves when the peer has spoken HTTP/2. */
  async ready(limitMs = 10_000): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.session.once("remoteSettings", () => resolve());
    this.session.once("close", () =>
      reject(new ConnectError("connection closed", Code.Unavailable)),
    );
    await within("HTTP/2 settings from the gateway", limitMs, promise);
    this.session.setLocalWindowSize(16 * 1024 * 1024);
  }

  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: http2.ClientSessionRequestOptions,
  ): Promise<http2.ClientHttp2Stream> {
    if (this.session.destroyed) throw new ConnectError("connection closed", Code.Unavailable);
    return this.session.request({ ...headers, ":method": method, ":path": path }, options);
  }

  notifyResponseByteRead(): void {}

  [Symbol.dispose](): void {
    this.session.destroy();
    this.socket.destroy();
  }
}
