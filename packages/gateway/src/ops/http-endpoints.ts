// http-endpoints.ts: what is answered without RPC: health, readiness, metrics, and RPCs we do not know.
import type * as http2 from "node:http2";
import type { Metrics } from "./metrics.ts";

export interface HttpEndpoints {
  readonly metrics: Metrics;
  /** False from the start of a drain on, so that load balancers look elsewhere. */
  readonly isReady: () => boolean;
  /** Metrics tell how much others do: they are for those who may call. */
  readonly mayCall: (authorization: string | undefined) => boolean;
}

type Response = Pick<http2.Http2ServerResponse, "writeHead" | "end">;

export async function answerHttp(
  request: http2.Http2ServerRequest,
  response: Response,
  { metrics, isReady, mayCall }: HttpEndpoints,
): Promise<void> {
  const path = request.url.split("?", 1)[0];
  switch (path) {
    case "/healthz":
      return answerText(response, 200, "ok\n");
    case "/readyz":
      return isReady()
        ? answerText(response, 200, "ready\n")
        : answerText(response, 503, "draining\n");
    case "/metrics":
      return mayCall(request.headers.authorization)
        ? answerText(response, 200, await metrics.text(), metrics.contentType)
        : answerText(response, 401, "a user's bearer token is required\n");
    default:
      return answerUnknown(request, response);
  }
}

function answerText(response: Response, status: number, body: string, type = "text/plain"): void {
  response.writeHead(status, { "content-type": type });
  response.end(body);
}

/** OpenShell has methods that are not in our schema; each protocol has its own way to say so. */
function answerUnknown(request: http2.Http2ServerRequest, response: Response): void {
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    const status = { "content-type": type, "grpc-status": "12", "grpc-message": "unknown method" };
    if (request.httpVersionMajor >= 2) {
      // One HEADERS frame that ends the stream: grpc-js takes a status before any other end for none.
      request.stream.respond({ ":status": 200, ...status }, { endStream: true });
      request.resume();
    } else {
      response.writeHead(200, status);
      response.end();
    }
    return;
  }
  response.writeHead(404, { "content-type": "application/json" });
  response.end(JSON.stringify({ code: "unimplemented", message: "unknown method" }));
}
