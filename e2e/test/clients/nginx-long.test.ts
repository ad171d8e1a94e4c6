// Three minutes of silence behind a real nginx whose timeouts are three seconds: sixty timeouts, as an hour is to its
// defaults. Too long for every run: BELAY_LONG=1 npm test -- nginx-long
import { expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { curl } from "./support/curl.ts";
import { startDocumentedNginx } from "./support/documented-nginx.ts";
import { grpcJs } from "./support/grpc-js.ts";
import { expectSilentExecFollowed } from "./support/silent-exec.ts";

const idleSeconds = 3;
const silentSeconds = 180;
const wanted = process.env["BELAY_LONG"] === "1";
if (!wanted) console.warn("not run: takes three minutes, with BELAY_LONG=1");
const limitMs = 1_000 * (silentSeconds + 60);

describeWith(["nginx", "curl"], "three minutes of silence behind nginx", () => {
  it.skipIf(!wanted)(
    "are followed to the command's end, over HTTP/2 and HTTP/1.1",
    async () => {
      await using deployment = await startDeployment({ proxied: false });
      const { gatewayUrl } = deployment;
      const { sandboxId } = deployment.supervisor();
      await using nginx = await startDocumentedNginx({ gatewayUrl, idleSeconds });
      const paths = [
        { url: nginx.http2Url, client: grpcJs },
        { url: nginx.http1Url, client: curl },
      ];
      const begunMs = performance.now();
      await Promise.all(
        paths.map(({ url, client }) =>
          expectSilentExecFollowed({
            call: (method, request) => client.call(url, method, request, limitMs),
            sandboxId,
            silentSeconds,
          }),
        ),
      );
      expect(performance.now() - begunMs).toBeGreaterThan(1_000 * silentSeconds);
      expect(nginx.said).toBe("");
    },
    limitMs,
  );
});
