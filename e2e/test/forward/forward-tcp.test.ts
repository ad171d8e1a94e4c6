// Forwards to ports in the sandbox: bytes, each direction's end, and every break told from an end.
import { createHash, randomBytes } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { Forward, openForward, tcpTo } from "../../src/forward.ts";
import type { ForwardInit } from "../../src/forward.ts";
import { poll, sleepMs } from "../../src/wait.ts";
import { atOnceMs, expectExit } from "../support/expect-exec.ts";
import { expectForwardError, expectForwardOk } from "../support/expect-forward.ts";
import { untilReconnected } from "../support/faulty-path.ts";
import { flags } from "../support/flags.ts";
import { metric } from "../support/metrics.ts";
import { growthWhile } from "../support/peak-memory.ts";
import { shell } from "../support/shell-exec.ts";
import { closedPort, TcpTarget } from "../support/tcp-target.ts";

let deployment: Deployment;
let client: OpenShellClient;
let sandboxId: string;
beforeAll(async () => {
  deployment = await startDeployment({
    gatewayArgs: flags({ "connection-idle-ms": 200 }), // relays of execs go with them
    supervisorArgs: flags({ "reconnect-max-ms": 300 }),
  });
  client = deployment.client();
  ({ sandboxId } = deployment.supervisor());
});
afterAll(() => deployment[Symbol.asyncDispose]());

const open = (port: number, host?: string) => openForward(client, sandboxId, tcpTo(port, host));
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

async function expectNothingLeft(): Promise<void> {
  await poll("no forward and no relay left", async () => {
    const left = ["belay_forwards", "belay_relays"].map((name) => metric(deployment, name));
    return (await Promise.all(left)).every((count) => count === 0);
  });
}

describe("a forward to a port in the sandbox", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
    ["localhost", "127.0.0.1"],
    ["localhost", "::1"],
  ])("carries bytes both ways: %s, where the server listens on %s", async (host, listensOn) => {
    await using target = await TcpTarget.start((socket) => socket.pipe(socket), listensOn);
    using forward = await open(target.port, host);
    await forward.send("hello");
    await forward.receivedAtLeast(5);
    expect(forward.received.toString()).toBe("hello");
    forward.end();
    expectForwardOk(await forward.ended);
    await expectNothingLeft();
  });

  it("passes the client's half-close on, and the server answers after it", async () => {
    await using target = await TcpTarget.start((socket) => {
      const hash = createHash("sha256");
      socket.on("data", (chunk: Buffer) => hash.update(chunk));
      socket.on("end", () => socket.end(hash.digest("hex")));
    });
    using forward = await open(target.port);
    const data = randomBytes(300_000);
    for (let at = 0; at < data.length; at += 50_000) {
      await forward.send(data.subarray(at, at + 50_000));
    }
    forward.end();
    expectForwardOk(await forward.ended);
    expect(forward.received.toString()).toBe(sha256(data));
    await expectNothingLeft();
  });

  it("ends when the server closes first, after its last byte", async () => {
    const data = randomBytes(3 * 1024 * 1024);
    await using target = await TcpTarget.start((socket) => socket.resume().end(data));
    using forward = await open(target.port);
    const end = await forward.ended;
    expectForwardOk(end);
    expect(end.sha256).toBe(sha256(data));
    expect(await target.ended()).toBe("end");
    await expectNothingLeft();
  });

  it(
    "keeps both ways whole and bounded while each reader is slow",
    { timeout: 90_000 },
    async () => {
      const data = randomBytes(24 * 1024 * 1024);
      const received = createHash("sha256");
      await using target = await TcpTarget.start((socket) => {
        socket.write(data);
        void (async () => {
          let pauseAt = 0;
          let bytes = 0;
          for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
            received.update(chunk as Buffer);
            bytes += (chunk as Buffer).length;
            if (bytes < pauseAt) continue;
            pauseAt = bytes + 4 * 1024 * 1024;
            await sleepMs(100);
          }
          socket.end();
        })();
      });
      const programs = [deployment.gateway, deployment.supervisor().process];
      const { result, growthBytes } = await growthWhile(programs, async () => {
        using forward = await openForward(client, sandboxId, tcpTo(target.port), {
          readDelay: async (frames) => (frames % 64 === 1 ? await sleepMs(100) : undefined),
        });
        for (let at = 0; at < data.length; at += 64 * 1024) {
          await forward.send(data.subarray(at, at + 64 * 1024));
        }
        forward.end();
        return await forward.ended;
      });
      expectForwardOk(result);
      expect([result.sha256, received.digest("hex")]).toEqual([sha256(data), sha256(data)]);
      // V8 keeps some garbage of what passed; what would be kept of all of it is twice 24 MB more.
      for (const bytes of growthBytes) expect(bytes).toBeLessThan(40 * 1024 * 1024);
    },
  );

  it(
    "is one of two hundred at once, and an exec beside them is prompt",
    { timeout: 90_000 },
    async () => {
      await using target = await TcpTarget.start((socket) => socket.pipe(socket));
      const forwards = await Promise.all(Array.from({ length: 200 }, () => open(target.port)));
      await Promise.all(
        forwards.map(async (forward, at) => {
          await forward.send(`number ${at}`);
          await forward.receivedAtLeast(`number ${at}`.length);
        }),
      );
      expect(await metric(deployment, "belay_forwards")).toBe(200);
      const startMs = performance.now();
      expectExit(
        await shell(client, deployment.supervisor(), "echo beside; exit 3"),
        3,
        "beside\n",
      );
      expect(performance.now() - startMs).toBeLessThan(atOnceMs);
      for (const [at, forward] of forwards.entries()) {
        forward.end();
        expectForwardOk(await forward.ended);
        expect(forward.received.toString()).toBe(`number ${at}`);
      }
      await expectNothingLeft();
    },
  );
});

describe("a forward that cannot be", () => {
  it("says that nothing listens on the port", async () => {
    const port = await closedPort();
    using forward = await open(port);
    expectForwardError(await forward.ended, {
      code: Code.Unavailable,
      message: `tcp target refused the connection: nothing listens on port ${port}`,
      kind: "relay_refused",
    });
    await expectNothingLeft();
  });

  it.each([
    [tcpTo(80, "10.0.0.1"), "tcp target host must be loopback"],
    [tcpTo(0), "tcp target port must be between 1 and 65535"],
    [{ case: undefined }, "tcp forward target is required"],
  ] as const)("%j: %s", async (target, message) => {
    using forward = await openForward(client, sandboxId, target as ForwardInit["target"]);
    expectForwardError(await forward.ended, {
      code: Code.InvalidArgument,
      message,
      kind: "invalid_request",
    });
  });

  it("says that the first frame is missing, or wrong", async () => {
    using empty = new Forward(client, undefined);
    empty.end();
    const refusal = { code: Code.InvalidArgument, kind: "protocol_violation" };
    expectForwardError(await empty.ended, { ...refusal, message: "empty ForwardTcp stream" });
    using wrong = new Forward(client, undefined);
    wrong.push({ payload: { case: "data", value: new Uint8Array(1) } });
    expectForwardError(await wrong.ended, {
      ...refusal,
      message: "first TcpForwardFrame must be init",
    });
  });
});

describe("a forward that breaks", () => {
  it("is UNAVAILABLE when the supervisor's connection is reset, and the server sees no end", async () => {
    await using target = await TcpTarget.start((socket) => socket.resume().write("half of"));
    const forwards = await Promise.all(Array.from({ length: 10 }, () => open(target.port)));
    await Promise.all(forwards.map((forward) => forward.receivedAtLeast(7)));
    await untilReconnected(deployment.supervisor(), async () => {
      const sinceMs = performance.now();
      deployment.supervisor().faults.cut("rst");
      for (const forward of forwards) {
        expectForwardError(await forward.ended, {
          code: Code.Unavailable,
          message: "relay channel dropped",
          kind: "relay_dropped",
          outcome: "unknown",
        });
      }
      expect(performance.now() - sinceMs).toBeLessThan(atOnceMs);
    });
    for (const at of forwards.keys()) expect(await target.ended(at)).toBe("ECONNRESET");
    await expectNothingLeft();
  });

  it("is UNAVAILABLE when the server resets, and says so, after what it had sent", async () => {
    await using target = await TcpTarget.start((socket) => socket.resume().write("half of"));
    using forward = await open(target.port);
    await forward.receivedAtLeast(7);
    (await target.connection()).socket.resetAndDestroy();
    expectForwardError(await forward.ended, {
      code: Code.Unavailable,
      message: "tcp target broke the connection",
      kind: "relay_lost",
      outcome: "unknown",
    });
    await expectNothingLeft();
  });

  it("resets the server's connection when the client's is reset", async () => {
    await using target = await TcpTarget.start();
    using own = deployment.client();
    using forward = await openForward(own, sandboxId, tcpTo(target.port));
    await forward.send("half of");
    await target.connection();
    deployment.clientProxy.connections.at(-1)!.cut("rst");
    expect((await forward.ended).error).toBeDefined();
    expect(await target.ended()).toBe("ECONNRESET");
    await expectNothingLeft();
  });

  it("leaves nothing behind of clients that cancel in the middle of a transfer", async () => {
    const data = Buffer.alloc(8 * 1024 * 1024);
    await using target = await TcpTarget.start((socket) => void socket.resume().write(data));
    const slowly = { readDelay: () => sleepMs(5) };
    for (let round = 0; round < 3; round += 1) {
      const forwards = await Promise.all(
        Array.from({ length: 10 }, () =>
          openForward(client, sandboxId, tcpTo(target.port), slowly),
        ),
      );
      await Promise.all(forwards.map((forward) => forward.receivedAtLeast(200_000)));
      for (const forward of forwards) forward.cancel();
      await Promise.all(forwards.map((forward) => forward.ended));
      await expectNothingLeft();
    }
    // Neither a cancel nor what Node sends before it is an end.
    for (const at of target.connections.keys()) expect(await target.ended(at)).toBe("ECONNRESET");
  });
});
