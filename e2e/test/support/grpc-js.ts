// grpc-js.ts: the OpenShell client that @grpc/grpc-js makes of the .proto files.
import * as grpc from "@grpc/grpc-js";
import { within } from "../../src/wait.ts";
import { loadProtos } from "../clients/support/grpc-js.ts";

export const definitions = loadProtos({
  keepCase: true,
  longs: String,
  defaults: true,
  oneofs: true,
});

export interface Event {
  payload: "stdout" | "stderr" | "exit";
  stdout: { data: Buffer } | null;
  stderr: { data: Buffer } | null;
  exit: Record<string, unknown> | null;
}

export interface Ended {
  events: Event[];
  status: grpc.StatusObject;
}

/** The methods of the service, as proto-loader makes them. */
export type ServiceClient = grpc.Client & {
  ExecSandbox(request: object, options?: grpc.CallOptions): grpc.ClientReadableStream<Event>;
  ExecSandboxInteractive(options?: grpc.CallOptions): grpc.ClientDuplexStream<object, Event>;
  GetSandbox(
    request: object,
    done: (error: grpc.ServiceError | null, value: unknown) => void,
  ): void;
};

/** To be closed by whoever asked for it. */
export function grpcJsClient(gatewayUrl: string): ServiceClient {
  const { openshell } = grpc.loadPackageDefinition(definitions) as unknown as {
    openshell: { v1: { OpenShell: new (...args: unknown[]) => ServiceClient } };
  };
  const { host } = new URL(gatewayUrl);
  return new openshell.v1.OpenShell(host, grpc.credentials.createInsecure());
}

/** All that came, and how it ended. */
export async function ended(call: grpc.ClientReadableStream<Event>): Promise<Ended> {
  const events: Event[] = [];
  call.on("data", (event: Event) => events.push(event));
  call.on("error", () => {});
  const { promise, resolve } = Promise.withResolvers<grpc.StatusObject>();
  call.on("status", resolve);
  return { events, status: await within("the call's status", 15_000, promise) };
}
