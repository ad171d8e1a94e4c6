// gateway-client.ts: the gateway's RPCs, over one connection.
import { createClient } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { OpenShell } from "@belay/protocol";
import type { SupervisorLimits } from "../limits.ts";
import type { PinnedConnection } from "./pinned-connection.ts";

export type GatewayClient = Client<typeof OpenShell>;

export function createGatewayClient(
  connection: PinnedConnection,
  token: string,
  limits: SupervisorLimits,
): GatewayClient {
  const transport = createGrpcTransport({
    baseUrl: connection.authority,
    sessionManager: connection,
    acceptCompression: [], // ten times slower, and SSH's bytes do not compress
    readMaxBytes: limits.inboundMessageBytes,
    writeMaxBytes: limits.outboundMessageBytes,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(OpenShell, transport);
}
