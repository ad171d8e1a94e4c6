// Forwards behind a real nginx: both directions of a stream, each with its own end, and what the idle timeouts do to them.
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { openForward, tcpTo } from "../../src/forward.ts";
import type { Forward } from "../../src/forward.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectForwardOk } from "../support/expect-forward.ts";
import { describeWith } from "../support/needs-program.ts";
import type { Nginx } from "../support/nginx.ts";
import { TcpTarget } from "../support/tcp-target.ts";
import { startDocumentedNginx } from "./support/documented-nginx.ts";

const idleSeconds = 3;
/** Said once a second, for longer than the timeout. */
const words = ["1\n", "2\n", "3\n", "4\n", "5\n"];

describeWith(["nginx"], "a forward behind nginx", () => {
  let deployment: Deployment;
  let nginx: Nginx;
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

  const open = (client: OpenShellClient, target: TcpTarget): Promise<Forward> =>
    openForward(client, deployment.supervisor().sandboxId, tcpTo(target.port));

  it("carries megabytes each way, whole, and each direction's end", async () => {
    await using target = await TcpTarget.start((socket) => void socket.pipe(socket));
    using client = openshellClient(nginx.http2Url);
    using forward = await open(client, target);
    const data = randomBytes(4 * 1024 * 1024);
    for (let at = 0; at < data.length; at += 64 * 1024) {
      await forward.send(data.subarray(at, at + 64 * 1024));
    }
    forward.end();
    const end = await forward.ended;
    expectForwardOk(end);
    expect(end.sha256).toBe(createHash("sha256").update(data).digest("hex"));
  });

  describe.concurrent("that is idle", () => {
    it("both ways for longer than the timeout is cut: an error, and a reset at the target", async () => {
      await using target = await TcpTarget.start();
      using client = openshellClient(impatient.http2Url);
      using forward = await open(client, target);
      const { error, detail } = await forward.ended;
      expect(error).toBeDefined();
      expect(detail).toBeUndefined();
      expect(await target.ended()).toBe("ECONNRESET");
    });

    it("from the client only goes on", async () => {
      await using target = await TcpTarget.start((socket) => void sayWords(socket));
      using client = openshellClient(impatient.http2Url);
      using forward = await open(client, target);
      expectForwardOk(await forward.ended);
      expect(forward.received.toString()).toBe(words.join(""));
    });

    it("from the target only goes on", async () => {
      const received = Promise.withResolvers<string>();
      await using target = await TcpTarget.start((socket) => {
        let text = "";
        socket.on("data", (data: Buffer) => (text += data.toString()));
        socket.on("end", () => received.resolve(text));
        socket.on("end", () => socket.end());
      });
      using client = openshellClient(impatient.http2Url);
      using forward = await open(client, target);
      for (const word of words) {
        await forward.send(word);
        await sleepMs(1_000);
      }
      forward.end();
      expectForwardOk(await forward.ended);
      expect(await received.promise).toBe(words.join(""));
    });
  });
});

async function sayWords(socket: Socket): Promise<void> {
  socket.resume();
  for (const word of words) {
    socket.write(word);
    await sleepMs(1_000);
  }
  socket.end();
}
