// documented-nginx.ts: nginx with the locations that docs/clients.md gives people to copy.
import { fileURLToPath } from "node:url";
import { docBlock } from "../../support/doc-blocks.ts";
import { startNginx } from "../../support/nginx.ts";
import type { Nginx, NginxOptions } from "../../support/nginx.ts";

const page = fileURLToPath(new URL("../../../../docs/clients.md", import.meta.url));

export async function startDocumentedNginx(
  options: Omit<NginxOptions, "locations">,
): Promise<Nginx> {
  const http2 = await docBlock(page, "nginx-http2");
  const http1 = await docBlock(page, "nginx-http1");
  return await startNginx({ ...options, locations: { http2, http1 } });
}
