// @belay/client/node: the way from Node to a gateway, given its URL.
import { createHash } from "node:crypto";
import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { createBelayClient } from "../client.ts";
import type { BelayClient, BelayClientOptions } from "../client.ts";
import { clientClock } from "../clock.ts";
import { GatewayConnection } from "./gateway-connection.ts";

export { forwardPort } from "./forward-port.ts";
export type { ForwardPortOptions, ForwardedPort } from "./forward-port.ts";

export interface GatewayOptions {
  /** `http:` speaks HTTP/2 without TLS. */
  readonly url: string | URL;
  /** Sent as a bearer token. A function is asked for each call, where tokens are renewed. */
  readonly token?: string | (() => string | Promise<string>);
  /** PEM: the authorities that the gateway's certificate is checked against, instead of the system's. */
  readonly ca?: string | Uint8Array;
  /** Default "grpc". */
  readonly protocol?: "grpc" | "connect";
  /** HTTP/2 PING after so much silence on a connection with calls; dead after so much. */
  readonly keepalive?: { readonly probeEveryMs: number; readonly deadAfterMs: number };
  /** Until a new connection speaks HTTP/2. Milliseconds; default 10_000. */
  readonly connectMs?: number;
}

export type NodeClientOptions = GatewayOptions &
  Omit<BelayClientOptions, "transport" | "sha256" | "clock">;

/** A gateway's largest message, with room for what goes around it. In bytes. */
const READ_MAX_BYTES = 4 * 1024 * 1024;
const CONNECT_MS = 10_000;
const defaultKeepalive = { probeEveryMs: 10_000, deadAfterMs: 20_000 };

/** A client with a connection of its own, made at the first call. Disposing it resets what still runs. */
export function connectToGateway(options: NodeClientOptions): BelayClient & Disposable {
  const { url, token, ca, protocol = "grpc", ...rest } = options;
  const { keepalive = defaultKeepalive, connectMs = CONNECT_MS } = options;
  const connection = new GatewayConnection({
    gateway: new URL(url),
    ca,
    keepalive,
    connectMs,
    clock: clientClock,
  });
  const create = { grpc: createGrpcTransport, connect: createConnectTransport }[protocol];
  const transport = create({
    baseUrl: String(url),
    httpVersion: "2",
    sessionManager: connection,
    acceptCompression: [], // ten times slower than sending it as it is
    readMaxBytes: READ_MAX_BYTES,
    interceptors: token === undefined ? [] : [bearer(token)],
  });
  const client = createBelayClient({ ...rest, transport, sha256: () => createHash("sha256") });
  return Object.assign(client, { [Symbol.dispose]: () => connection[Symbol.dispose]() });
}

function bearer(token: NonNullable<GatewayOptions["token"]>): Interceptor {
  return (next) => async (request) => {
    const value = typeof token === "string" ? token : await token();
    request.header.set("authorization", `Bearer ${value}`);
    return next(request);
  };
}
