import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { CutHow } from "../../src/fault-plan.ts";
import { seededRandom } from "@belay/relay-core/testing";
import { startFaultProxy } from "../../src/fault-proxy.ts";
import { poll, sleepMs } from "../../src/wait.ts";
import { patternBytes, startEchoServer, startServer, TestClient } from "./echo-server.ts";

describe("a healthy proxy", () => {
  it("passes bytes and half-closes both ways, and counts them", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    const next = proxy.nextConnection();
    using client = new TestClient(proxy.port);
    const connection = await next;
    const sent = patternBytes(3_000_000);
    client.socket.end(sent);
    await client.hasEnded();
    expect(client.received.equals(sent)).toBe(true);
    expect(connection.bytes).toEqual({ up: sent.length, down: sent.length });
    await expect(connection.closed).resolves.toMatchObject({ how: "fin" });
    await expect.poll(() => proxy.connections).toEqual([]);
  });

  it("passes on a reset as a reset", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using client = new TestClient(proxy.port);
    client.socket.write("x");
    await client.hasReceived(1);
    const failed = new Promise((resolve) => server.sockets[0]!.on("error", resolve));
    client.socket.resetAndDestroy();
    expect(await failed).toMatchObject({ code: "ECONNRESET" });
  });

  it("resets the client when nothing listens at the target", async () => {
    const gone = await startEchoServer();
    await gone[Symbol.asyncDispose]();
    await using proxy = await startFaultProxy({ targetPort: gone.port });
    using client = new TestClient(proxy.port);
    await client.closed;
    expect(client.errorCode).toBe("ECONNRESET");
  });

  it("stops reading when the receiver does not read", async () => {
    await using server = await startServer((socket) => socket.pause());
    await using proxy = await startFaultProxy({ targetPort: server.port });
    const next = proxy.nextConnection();
    using client = new TestClient(proxy.port);
    const connection = await next;
    const total = 64 * 1024 * 1024;
    client.socket.write(Buffer.alloc(total));
    // Kernel buffers fill up first; then the count must stand still below the total.
    let before = -1;
    await poll("the flow to stand still", async () => {
      const still = connection.bytes.up === before && before > 0;
      before = connection.bytes.up;
      await sleepMs(100);
      return still;
    });
    expect(connection.bytes.up).toBeLessThan(total / 2);
    server.sockets[0]!.resume();
    await connection.passed("up", total);
  });

  it("sends new connections to the new target after retarget", async () => {
    await using first = await startServer((socket) => socket.end("first"));
    await using second = await startServer((socket) => socket.end("second"));
    await using proxy = await startFaultProxy({ targetPort: first.port });
    using before = new TestClient(proxy.port);
    await before.hasEnded();
    proxy.retarget(second.port);
    using after = new TestClient(proxy.port);
    await after.hasEnded();
    expect([before.received.toString(), after.received.toString()]).toEqual(["first", "second"]);
  });
});

describe("cut", () => {
  it.each<[CutHow, string | undefined, boolean]>([
    ["rst", "ECONNRESET", false],
    ["fin", undefined, true],
  ])("%s reaches both ends as such", async (how, code, ended) => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using client = new TestClient(proxy.port);
    client.socket.write("x");
    await client.hasReceived(1);
    const target = server.sockets[0]!;
    let targetCode: string | undefined;
    target.on("error", (error: NodeJS.ErrnoException) => (targetCode = error.code));
    const targetOver = new Promise((resolve) => target.on("close", resolve));
    client.socket.on("end", () => client.socket.end());
    proxy.cut(how);
    await client.closed;
    await targetOver;
    expect([client.errorCode, client.ended, targetCode]).toEqual([code, ended, code]);
  });

  it.each([0, 1, 2, 1_000, 65_535, 65_536, 65_537, 200_000])(
    "delivers exactly %i bytes up before a planned cut",
    async (bytes) => {
      let received = Buffer.alloc(0);
      await using server = await startServer((socket) => {
        socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
      });
      await using proxy = await startFaultProxy({ targetPort: server.port });
      proxy.cutNextAfter({ direction: "up", bytes, how: "rst" });
      const next = proxy.nextConnection();
      using client = new TestClient(proxy.port);
      const sent = patternBytes(250_000);
      client.socket.write(sent);
      const connection = await next;
      await expect(connection.closed).resolves.toEqual({ by: "proxy", how: "rst" });
      await client.closed;
      await expect.poll(() => received.length).toBe(bytes);
      expect(received.equals(sent.subarray(0, bytes))).toBe(true);
      expect(connection.bytes.up).toBe(bytes);
      expect(client.errorCode).toBe("ECONNRESET");
    },
  );

  it("delivers exactly the planned bytes down before a FIN, and leaves the next connection alone", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    proxy.cutNextAfter({ direction: "down", bytes: 777, how: "fin" });
    using client = new TestClient(proxy.port);
    client.socket.write(patternBytes(5_000));
    await client.hasEnded();
    expect(client.received.equals(patternBytes(777))).toBe(true);
    expect(client.errorCode).toBeUndefined();
    using other = new TestClient(proxy.port);
    other.socket.write(patternBytes(5_000));
    expect((await other.hasReceived(5_000)).equals(patternBytes(5_000))).toBe(true);
  });

  it("counts from now when asked to", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using client = new TestClient(proxy.port);
    client.socket.write("12345");
    await client.hasReceived(5);
    proxy.connections[0]!.cutAfter({ direction: "down", bytes: 3, how: "fin", from: "now" });
    client.socket.write("67890");
    await client.hasEnded();
    expect(client.received.toString()).toBe("12345678");
  });
});

describe("a black hole", () => {
  it("delivers nothing and ends nothing, and after healing all arrives once and in order", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using client = new TestClient(proxy.port);
    client.socket.write("before ");
    await client.hasReceived(7);
    proxy.blackhole();
    client.socket.write("during ");
    server.sockets[0]!.write("from below ");
    await sleepMs(100);
    expect(client.received.toString()).toBe("before ");
    expect([client.errorCode, client.ended, client.socket.destroyed]).toEqual([
      undefined,
      false,
      false,
    ]);
    proxy.heal();
    client.socket.end("after");
    await client.hasEnded();
    expect(client.received.toString()).toBe("before from below during after");
  });

  it("keeps a peer's end to itself until it heals", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using client = new TestClient(proxy.port);
    client.socket.write("x");
    await client.hasReceived(1);
    const target = server.sockets[0]!;
    let over = false;
    target.on("close", () => (over = true));
    proxy.blackhole();
    client.socket.resetAndDestroy();
    await sleepMs(100);
    expect(over).toBe(false);
    expect(proxy.connections).toHaveLength(1);
    proxy.heal();
    await expect.poll(() => over).toBe(true);
  });

  it("works in one direction alone", async () => {
    await using server = await startServer((socket) => socket.resume());
    await using proxy = await startFaultProxy({ targetPort: server.port });
    const next = proxy.nextConnection();
    using client = new TestClient(proxy.port);
    client.socket.write("x");
    const connection = await next;
    await connection.passed("up", 1);
    connection.blackhole("up");
    client.socket.write("lost");
    server.sockets[0]!.write("heard");
    expect((await client.hasReceived(5)).toString()).toBe("heard");
    expect(connection.bytes.up).toBe(1);
  });

  it("accepts new connections and swallows them, until it heals", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    proxy.blackhole();
    using client = new TestClient(proxy.port);
    await once(client.socket, "connect");
    client.socket.write("hello");
    await sleepMs(100);
    expect(server.sockets).toHaveLength(0);
    expect(client.received).toHaveLength(0);
    proxy.heal();
    expect((await client.hasReceived(5)).toString()).toBe("hello");
  });
});

describe("slow paths", () => {
  it("delays each way, and keeps the order under jitter", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port, seed: 7 });
    proxy.delay(50, 30);
    using client = new TestClient(proxy.port);
    await once(client.socket, "connect");
    const startMs = performance.now();
    let sent = "";
    for (let part = 0; part < 50; part++) {
      client.socket.write(`${part},`);
      sent += `${part},`;
      await turn();
    }
    client.socket.end();
    await client.hasEnded();
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(99);
    expect(client.received.toString()).toBe(sent);
  });

  it("gives the same jitter for the same seed", () => {
    const numbers = (seed: number): number[] => Array.from({ length: 5 }, seededRandom(seed));
    expect(numbers(3)).toEqual(numbers(3));
    expect(numbers(3)).not.toEqual(numbers(4));
  });

  it("throttles to about the given rate, losing nothing", async () => {
    const sent = patternBytes(400_000);
    await using server = await startServer((socket) => socket.end(sent));
    await using proxy = await startFaultProxy({ targetPort: server.port });
    proxy.throttle(1_000_000, "down");
    const startMs = performance.now();
    using client = new TestClient(proxy.port);
    await client.hasEnded();
    const tookMs = performance.now() - startMs;
    expect(client.received.equals(sent)).toBe(true);
    expect(tookMs).toBeGreaterThan(300);
    expect(tookMs).toBeLessThan(3_000);
  });

  it("cuts a connection that says nothing, not one that talks", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    proxy.closeIdle(300);
    using silent = new TestClient(proxy.port);
    using talking = new TestClient(proxy.port);
    const startMs = performance.now();
    for (let part = 1; part <= 8; part++) {
      talking.socket.write("x");
      await talking.hasReceived(part);
      await sleepMs(60);
    }
    await silent.hasEnded();
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(300);
    expect(talking.ended).toBe(false);
    await talking.hasEnded();
  });
});

describe("refuse", () => {
  it("resets new connections, leaves live ones alone, and counts", async () => {
    await using server = await startEchoServer();
    await using proxy = await startFaultProxy({ targetPort: server.port });
    using live = new TestClient(proxy.port);
    live.socket.write("a");
    await live.hasReceived(1);
    proxy.refuse();
    using refused = new TestClient(proxy.port);
    await refused.closed;
    expect([refused.errorCode, proxy.accepted, proxy.refused]).toEqual(["ECONNRESET", 2, 1]);
    live.socket.write("b");
    await live.hasReceived(2);
    proxy.heal();
    using welcome = new TestClient(proxy.port);
    welcome.socket.write("c");
    await welcome.hasReceived(1);
  });
});
