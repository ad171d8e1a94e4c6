// grpc-exec.ts: ExecSandbox over gRPC with nothing but node:http2 under it.
import * as http2 from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { ExecSandboxRequestSchema, OpenShell } from "@belay/protocol";
import { EventCounter } from "./event-counter.ts";

const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 16 * 1024 * 1024;
const path = `/${OpenShell.typeName}/${OpenShell.method.execSandbox.name}`;

export interface RunningExec {
  /** Resolves with the first bytes of output. Never rejects: `ended` does. */
  readonly firstOutput: Promise<void>;
  /** Resolves with the size of its output once it has exited with 0; rejects otherwise. */
  readonly ended: Promise<number>;
}

/** One connection, as a client would keep it, for all execs. */
export class GrpcExecClient {
  readonly #session: http2.ClientHttp2Session;

  constructor(url: string) {
    this.#session = http2.connect(url, { settings: { initialWindowSize: streamWindowBytes } });
    // Each stream hears of it too, and the job that waits for the stream fails.
    this.#session.on("error", () => {});
    this.#session.once("connect", () => this.#session.setLocalWindowSize(connectionWindowBytes));
  }

  start(sandboxId: string, command: readonly string[]): RunningExec {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    stream.end(grpcMessage(sandboxId, command));
    const counter = new EventCounter();
    const first = Promise.withResolvers<void>();
    const { promise: ended, resolve, reject } = Promise.withResolvers<number>();
    let status: http2.IncomingHttpHeaders = {};
    const takeStatus = (headers: http2.IncomingHttpHeaders): void => {
      if (headers["grpc-status"] !== undefined) status = headers;
    };
    stream.on("response", takeStatus);
    stream.on("trailers", takeStatus);
    stream.on("data", (chunk: Buffer) => {
      try {
        counter.push(chunk);
      } catch (error) {
        stream.destroy(error instanceof Error ? error : new Error(String(error)));
      }
      if (counter.outputBytes > 0) first.resolve();
    });
    stream.on("error", reject);
    stream.on("close", () => {
      if (status["grpc-status"] === "0" && counter.exitCode === 0) resolve(counter.outputBytes);
      else reject(new Error(`exec of ${command[0]}: ${describeEnd(status, counter.exitCode)}`));
    });
    return { firstOutput: first.promise, ended };
  }
}

function grpcMessage(sandboxId: string, command: readonly string[]): Buffer {
  const request = create(ExecSandboxRequestSchema, { sandboxId, command: [...command] });
  const message = toBinary(ExecSandboxRequestSchema, request);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function describeEnd(status: http2.IncomingHttpHeaders, exitCode: number | undefined): string {
  const code = String(status["grpc-status"] ?? "none");
  const message = decodeURIComponent(String(status["grpc-message"] ?? ""));
  return `exit code ${exitCode ?? "none"}, gRPC status ${code} ${message}`;
}
