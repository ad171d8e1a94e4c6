// client.ts: clients of both services as the outside world has them, over each protocol a gateway answers.
import { createClient } from "@connectrpc/connect";
import type { Client, Interceptor, Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { ExecService, OpenShell } from "@belay/protocol";
import { Agent } from "node:http";
import { Agent as TlsAgent } from "node:https";

export type WireProtocol = "grpc" | "connect" | "grpc-web";

export interface ClientOptions {
  /** Defaults to "grpc", as the SDKs. */
  protocol?: WireProtocol;
  /** Defaults to "2". gRPC has no other. */
  httpVersion?: "1.1" | "2";
  /** Sent as a bearer token with each call. */
  token?: string;
  /** What a gateway with TLS is trusted by, PEM. */
  ca?: string;
  /** Sent with each call. */
  headers?: Readonly<Record<string, string>>;
  /** HTTP/2 keepalive of this client. Defaults to none, as connect-node. */
  pingIntervalMs?: number;
  pingTimeoutMs?: number;
}

/** A client with a connection of its own. Disposing it resets the connection and every call on it. */
export type OpenShellClient = Client<typeof OpenShell> & Disposable;

/** As OpenShellClient. It tries nothing again and checks nothing: that is what @belay/client is for. */
export type ExecServiceClient = Client<typeof ExecService> & Disposable;

/** Every way to call a gateway that the contract names. For `describe.each`. */
export const wireVariants: readonly { protocol: WireProtocol; httpVersion: "1.1" | "2" }[] = [
  { protocol: "grpc", httpVersion: "2" },
  { protocol: "connect", httpVersion: "2" },
  { protocol: "connect", httpVersion: "1.1" },
  { protocol: "grpc-web", httpVersion: "2" },
  { protocol: "grpc-web", httpVersion: "1.1" },
];

export function openshellClient(url: string, options: ClientOptions = {}): OpenShellClient {
  const { transport, dispose } = connection(url, options);
  return Object.assign(createClient(OpenShell, transport), { [Symbol.dispose]: dispose });
}

export function execServiceClient(url: string, options: ClientOptions = {}): ExecServiceClient {
  const { transport, dispose } = connection(url, options);
  return Object.assign(createClient(ExecService, transport), { [Symbol.dispose]: dispose });
}

function connection(
  url: string,
  options: ClientOptions,
): { transport: Transport; dispose: () => void } {
  const { protocol = "grpc", httpVersion = "2" } = options;
  if (protocol === "grpc" && httpVersion === "1.1") throw new Error("gRPC needs HTTP/2");
  const shared = {
    baseUrl: url,
    // What existing clients accept; a larger message is a failure that a test should see.
    readMaxBytes: 4 * 1024 * 1024,
    interceptors: [addHeaders(options)],
  };
  if (httpVersion === "1.1") {
    const agent = url.startsWith("https:")
      ? new TlsAgent({ keepAlive: true, ...trust(options) })
      : new Agent({ keepAlive: true });
    const create = protocol === "connect" ? createConnectTransport : createGrpcWebTransport;
    const transport = create({ ...shared, httpVersion, nodeOptions: { agent } });
    return { transport, dispose: () => agent.destroy() };
  }
  const sessionManager = new Http2SessionManager(
    url,
    {
      pingIntervalMs: options.pingIntervalMs ?? Infinity,
      pingTimeoutMs: options.pingTimeoutMs ?? 15_000,
    },
    { settings: { initialWindowSize: 1024 * 1024 }, ...trust(options) },
  );
  const create = {
    grpc: createGrpcTransport,
    connect: createConnectTransport,
    "grpc-web": createGrpcWebTransport,
  }[protocol];
  const transport = create({ ...shared, httpVersion, sessionManager });
  return { transport, dispose: () => sessionManager.abort() };
}

function trust({ ca }: ClientOptions): { ca?: string } {
  return ca === undefined ? {} : { ca };
}

function addHeaders({ token, headers = {} }: ClientOptions): Interceptor {
  return (next) => async (request) => {
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return await next(request);
  };
}
