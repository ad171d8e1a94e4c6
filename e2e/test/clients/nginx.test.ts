// Behind a real nginx, with the locations that docs/clients.md gives people: over HTTP/2 and HTTP/1.1, and what its idle timeouts
// do. nginx has 60 s for each of them; here they are seconds.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { localTotals } from "../support/local-run.ts";
import { describeWith } from "../support/needs-program.ts";
import type { Nginx } from "../support/nginx.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";
import { bufCurl } from "./support/buf-curl.ts";
import { curl } from "./support/curl.ts";
import { startDocumentedNginx } from "./support/documented-nginx.ts";
import { exitCode, output } from "./support/exec-answer.ts";
import { openshell } from "./support/foreign-client.ts";
import { grpcJs } from "./support/grpc-js.ts";
import { expectSilentExecFollowed } from "./support/silent-exec.ts";

const idleSeconds = 3;

const paths = [
  { at: "http2Url", client: grpcJs },
  { at: "http2Url", client: bufCurl({ protocol: "grpcweb", http: "2" }) },
  { at: "http2Url", client: bufCurl({ protocol: "connect", http: "2" }) },
  { at: "http1Url", client: bufCurl({ protocol: "grpcweb", http: "1.1" }) },
  { at: "http1Url", client: curl },
] as const;

const ourClients = [
  { at: "http2Url", protocol: "grpc", httpVersion: "2" },
  { at: "http1Url", protocol: "connect", httpVersion: "1.1" },
] as const;

describeWith(["nginx", "curl"], "behind nginx", () => {
  let deployment: Deployment;
  /** As it comes. */
  let nginx: Nginx;
  /** Cuts what is silent. */
  let impatient: Nginx;
  beforeAll(async () => {
    deployment = await startDeployment({ proxied: false });
    const { gatewayUrl } = deployment;
    nginx = await startDocumentedNginx({ gatewayUrl });
    impatient = await startDocumentedNginx({ gatewayUrl, idleSeconds });
  });
  afterAll(async () => {
    await Promise.all([nginx, impatient].map((one) => one?.[Symbol.asyncDispose]()));
    await deployment[Symbol.asyncDispose]();
  });

  const execThrough = (through: Nginx, { at, client }: (typeof paths)[number], script: string) => {
    const { sandboxId } = deployment.supervisor();
    const request = { sandboxId, command: ["sh", "-c", script] };
    return client.call(through[at], openshell("ExecSandbox", "stream"), request);
  };

  it.each(paths)("$client.name runs a command: its outputs, its exit code", async (path) => {
    const answer = await execThrough(nginx, path, "echo out; echo err >&2; exit 3");
    expect(answer.error).toBeUndefined();
    expect(output(answer, "stdout").toString()).toBe("out\n");
    expect(output(answer, "stderr").toString()).toBe("err\n");
    expect(exitCode(answer)).toBe(3);
  });

  // Each of these mostly waits, the first ones longest.
  describe.concurrent("an idle timeout", () => {
    it.each(paths)("spares a silent durable exec: $client.name has its end", async (path) => {
      await expectSilentExecFollowed({
        call: (method, request) => path.client.call(impatient[path.at], method, request),
        sandboxId: deployment.supervisor().sandboxId,
        silentSeconds: 3 * idleSeconds,
      });
    });

    it.each(paths)("cuts a silent ExecSandbox: $client.name has no exit", async (path) => {
      const answer = await execThrough(impatient, path, "echo before; sleep 30");
      expect(answer.error).toBeDefined();
      expect(exitCode(answer)).toBeUndefined();
      expect(output(answer, "stdout").toString()).toBe("before\n");
    });

    it.each(paths)("cuts one that never spoke: $client.name has an error", async (path) => {
      const answer = await execThrough(impatient, path, "sleep 30");
      expect(answer.messages).toEqual([]);
      expect(["unavailable", "unknown"]).toContain(answer.error?.code);
    });

    it.each(ourClients)("ends the processes of what it cut: $protocol", async (path) => {
      using client = openshellClient(impatient[path.at], path);
      const sandbox = deployment.supervisor();
      await using exec = new ShellExec(client, sandbox, "echo ready; sleep 300 & wait");
      await exec.ready();
      const { hung, exit, error, detail } = await exec.result;
      // No detail comes through: what became of the command is not known to the caller.
      expect([hung, exit, detail]).toEqual([false, undefined, undefined]);
      expect(error).toBeDefined();
      await exec.noneLeft();
    });

    it.each(ourClients)("spares an ExecSandbox that speaks in time: $protocol", async (path) => {
      using client = openshellClient(impatient[path.at], path);
      const script = "for i in 1 2 3 4 5; do echo $i; sleep 1; done; exit 4";
      await using exec = new ShellExec(client, deployment.supervisor(), script);
      await exec.run.received("1\n2\n");
      expect(await exec.processes()).not.toEqual([]); // nginx holds no output back
      const result = await exec.result;
      expect(result.tookMs).toBeGreaterThan(1_000 * idleSeconds);
      expectExit(result, 4, "1\n2\n3\n4\n5\n");
    });
  });

  describe.each(ourClients)("$protocol over HTTP/$httpVersion", (path) => {
    it("carries large outputs whole", async () => {
      using client = openshellClient(nginx[path.at], path);
      const script = "seq 1 2000000; seq 2000000 4000000 >&2";
      const result = await shell(client, deployment.supervisor(), script, { keep: false });
      expectExit(result, 0);
      expect(result.totals).toEqual(await localTotals(script));
    });

    it("carries large input whole", async () => {
      using client = openshellClient(nginx[path.at], path);
      const stdin = Buffer.from(Array.from({ length: 500_000 }, (_, at) => `${at}\n`).join(""));
      expect(stdin.length).toBeGreaterThan(3_000_000);
      const sha256 = createHash("sha256").update(stdin).digest("hex");
      const result = await shell(client, deployment.supervisor(), "sha256sum", {
        request: { stdin },
      });
      expectExit(result, 0, `${sha256}  -\n`);
    });
  });
});
