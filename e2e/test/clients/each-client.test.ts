// What every client sees alike: programs and libraries that share no code with us, on a gateway with a supervisor of ours.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { bufCurl } from "./support/buf-curl.ts";
import { curl } from "./support/curl.ts";
import { exitCode, output } from "./support/exec-answer.ts";
import { openshell } from "./support/foreign-client.ts";
import type { Answer, ForeignClient, Json } from "./support/foreign-client.ts";
import { grpcJs } from "./support/grpc-js.ts";

const clients: readonly ForeignClient[] = [
  grpcJs,
  bufCurl({ protocol: "grpc", http: "2" }),
  bufCurl({ protocol: "grpcweb", http: "2" }),
  bufCurl({ protocol: "grpcweb", http: "1.1" }),
  bufCurl({ protocol: "connect", http: "2" }),
  bufCurl({ protocol: "connect", http: "1.1" }),
  curl,
];

let deployment: Deployment;
beforeAll(async () => void (deployment = await startDeployment({ proxied: false })));
afterAll(() => deployment[Symbol.asyncDispose]());

for (const client of clients) {
  describeWith(client.needs, client.name, () => {
    const exec = (script: string, more: Json = {}): Promise<Answer> => {
      const { sandboxId } = deployment.supervisor();
      const request = { sandboxId, command: ["sh", "-c", script], ...more };
      return client.call(deployment.gatewayUrl, openshell("ExecSandbox", "stream"), request);
    };

    it("finds a sandbox by its name", async () => {
      const { name, sandboxId } = deployment.supervisor();
      const answer = await client.call(deployment.gatewayUrl, openshell("GetSandbox"), { name });
      expect(answer).toMatchObject({
        error: undefined,
        messages: [
          {
            sandbox: {
              metadata: { id: sandboxId, name },
              status: { phase: "SANDBOX_PHASE_READY" },
            },
          },
        ],
      });
    });

    it("is told of a sandbox that is not there", async () => {
      const request = { name: "nobody" };
      const answer = await client.call(deployment.gatewayUrl, openshell("GetSandbox"), request);
      expect(answer).toEqual({
        messages: [],
        error: { code: "not_found", message: "sandbox not found" },
      });
    });

    it("runs a command: its outputs, then its exit, then the end", async () => {
      const answer = await exec("cat; echo out; echo err >&2; exit 3", {
        stdin: Buffer.from("in\n").toString("base64"),
      });
      expect(answer.error).toBeUndefined();
      expect(output(answer, "stdout").toString()).toBe("in\nout\n");
      expect(output(answer, "stderr").toString()).toBe("err\n");
      expect(exitCode(answer)).toBe(3);
      expect(answer.messages.at(-1)).toHaveProperty("exit");
    });

    it("gets megabytes of any bytes, each of them", async () => {
      const script = "head -c 3000000 /dev/urandom | tee bytes; sha256sum bytes >&2; rm bytes";
      const answer = await exec(script);
      expect(answer.error).toBeUndefined();
      const bytes = output(answer, "stdout");
      expect(bytes.length).toBe(3_000_000);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      expect(output(answer, "stderr").toString()).toContain(sha256);
    });

    it("is told why a stream failed", async () => {
      const { sandboxId } = deployment.supervisor();
      const method = openshell("ExecSandbox", "stream");
      const answer = await client.call(deployment.gatewayUrl, method, { sandboxId });
      expect(answer).toEqual({
        messages: [],
        error: { code: "invalid_argument", message: "command is required" },
      });
    });
  });
}
