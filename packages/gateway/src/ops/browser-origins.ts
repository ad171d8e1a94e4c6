// browser-origins.ts: which web pages may call, as browsers ask it (the Fetch standard's CORS protocol).
import { cors } from "@connectrpc/connect";
import { EXEC_ID_HEADER } from "@belay/protocol";
import type { RequestHandler } from "./listener.ts";

/** How long a browser may remember the answer, in seconds; none of them keeps it longer than two hours. */
const PREFLIGHT_MAX_AGE_S = 7_200;

const ALLOWED_HEADERS = [...cors.allowedHeaders, "Authorization"].join(", ");
const EXPOSED_HEADERS = [...cors.exposedHeaders, EXEC_ID_HEADER].join(", ");

/**
 * Tells browsers that pages of these origins may call, and read the answers. A page of any other origin
 * gets none of it: its browser keeps the call from being made, or the answer from it. Callers that are no
 * browsers send no origin, and are none the wiser.
 * @param origins as `https://console.example`.
 */
export function allowOrigins(
  origins: ReadonlySet<string>,
  handler: RequestHandler,
): RequestHandler {
  if (origins.size === 0) return handler;
  return (request, response) => {
    const { origin } = request.headers;
    response.setHeader("vary", "Origin"); // for caches: the answer is another one for another page
    if (origin === undefined || !origins.has(origin)) return handler(request, response);
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", EXPOSED_HEADERS);
    if (request.method !== "OPTIONS") return handler(request, response);
    response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
    response.setHeader("access-control-allow-headers", ALLOWED_HEADERS);
    response.setHeader("access-control-max-age", String(PREFLIGHT_MAX_AGE_S));
    response.writeHead(204);
    response.end();
  };
}
