// What every client sees alike: programs and libraries that share no code with us, on a gateway with a supervisor of ours.
import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { bufCurl } from "./support/buf-curl.ts";
import { curl } from "./support/curl.ts";
import { exitCode, output } from "./support/exec-answer.ts";
import { execService, openshell } from "./support/foreign-client.ts";
import type { Answer, ForeignClient, Json, Method } from "./support/foreign-client.ts";
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

    it("starts a durable exec, follows it from any offset, waits for its end", async () => {
      const call = (method: Method, request: Json): Promise<Answer> =>
        client.call(deployment.gatewayUrl, method, { ...ids, ...request });
      const ids = { sandboxId: deployment.supervisor().sandboxId, execId: randomUUID() };
      const spec = { command: ["sh", "-c", "echo out; echo err >&2; exit 3"], detached: true };
      const state = { execId: ids.execId, detached: true };
      // A start whose answer was lost is sent again: it is the same exec.
      for (let tries = 1; tries <= 2; tries += 1) {
        const started = await call(execService("StartExec"), { spec });
        expect(started).toMatchObject({ error: undefined, messages: [{ exec: state }] });
      }

      const exit = {
        reason: "exited",
        exitCode: 3,
        stdout: { bytes: "4" },
        stderr: { bytes: "4" },
      };
      const followed = await call(execService("FollowExec", "stream"), {});
      expect(followed.error).toBeUndefined();
      expect(followed.messages[0]).toMatchObject({ info: state });
      expect(followed.messages.at(-1)).toMatchObject({ exit });
      expect(followedOutput(followed, "STDOUT")).toEqual({ offset: 0, text: "out\n" });
      expect(followedOutput(followed, "STDERR")).toEqual({ offset: 0, text: "err\n" });

      const rest = await call(execService("FollowExec", "stream"), { stdoutOffset: "2" });
      expect(followedOutput(rest, "STDOUT")).toEqual({ offset: 2, text: "t\n" });

      const waited = await call(execService("WaitExec"), {});
      expect(waited.messages).toMatchObject([{ exec: { state: "EXEC_STATE_ENDED", exit } }]);
    });
  });
}

/** What a follower got of one output, and where it began. */
function followedOutput({ messages }: Answer, stream: "STDOUT" | "STDERR") {
  const pieces = messages
    .map((message) => message["output"] as { stream: string; offset?: string; data: string })
    .filter((output) => output?.stream === `OUTPUT_STREAM_${stream}`);
  const bytes = Buffer.concat(pieces.map(({ data }) => Buffer.from(data, "base64")));
  return { offset: Number(pieces[0]?.offset ?? 0), text: bytes.toString() };
}
