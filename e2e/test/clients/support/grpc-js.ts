// grpc-js.ts: @grpc/grpc-js, with the .proto files as anybody would load them.
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Options } from "@grpc/proto-loader";
import { within } from "../../../src/wait.ts";
import type { Answer, ForeignClient, Json } from "./foreign-client.ts";

const protoFolder = fileURLToPath(new URL("../../../../packages/protocol/proto", import.meta.url));

export function loadProtos(options: Options) {
  return loadSync(
    ["openshell/v1/openshell.proto", "belay/v1/error_detail.proto", "belay/v1/exec_service.proto"],
    { includeDirs: [protoFolder], ...options },
  );
}

/** Messages as proto3 JSON has them. */
const definitions = loadProtos({ longs: String, enums: String, bytes: String, arrays: false });
const packages = grpc.loadPackageDefinition(definitions);

type UnaryCall = (
  request: Json,
  done: (error: grpc.ServiceError | null, answer: Json) => void,
) => void;
type StreamCall = (request: Json) => grpc.ClientReadableStream<Json>;
type Service = grpc.Client & Record<string, UnaryCall & StreamCall>;

export const grpcJs: ForeignClient = {
  name: "@grpc/grpc-js",
  needs: [],
  async call(url, { path, kind }, request, limitMs = 30_000) {
    const [serviceName = "", method = ""] = path.split("/");
    using client = connect(url, serviceName);
    return kind === "unary"
      ? await unary(client.service, method, request, limitMs)
      : await stream(client.service[method]!.call(client.service, request), limitMs);
  },
};

/** A service's client, with a connection of its own. */
function connect(url: string, serviceName: string): { service: Service } & Disposable {
  const found = serviceName
    .split(".")
    .reduce(
      (within, name) => (within as Record<string, unknown>)[name] as object,
      packages as object,
    );
  const Client = found as unknown as new (host: string, trust: grpc.ChannelCredentials) => Service;
  const service = new Client(new URL(url).host, grpc.credentials.createInsecure());
  return { service, [Symbol.dispose]: () => service.close() };
}

async function unary(
  service: Service,
  method: string,
  request: Json,
  limitMs: number,
): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  service[method]!(request, (error, answer) =>
    resolve(
      error
        ? { messages: [], error: { code: codeName(error.code), message: error.details } }
        : { messages: [answer], error: undefined },
    ),
  );
  return await within("the call's answer", limitMs, promise);
}

async function stream(call: grpc.ClientReadableStream<Json>, limitMs: number): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<grpc.StatusObject>();
  const messages: Json[] = [];
  call.on("data", (message: Json) => messages.push(message));
  call.on("error", () => {});
  call.on("status", resolve);
  const { code, details } = await within("the call's status", limitMs, promise);
  const failed = code !== grpc.status.OK;
  return { messages, error: failed ? { code: codeName(code), message: details } : undefined };
}

/** As the Connect protocol writes it. */
function codeName(code: grpc.status): string {
  const name = grpc.status[code].toLowerCase();
  return name === "cancelled" ? "canceled" : name;
}
