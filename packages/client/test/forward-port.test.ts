import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { connectToGateway, forwardPort } from "../src/node/index.ts";
import type { ForwardPortOptions } from "../src/node/index.ts";
import { FakeGateway } from "../src/testing/index.ts";
import type { FakeTarget } from "../src/testing/index.ts";
import { serveHttp2 } from "./support/http2-gateway.ts";
import { numbers, quickLimits } from "./support/scene.ts";

const echo: FakeTarget = (input) => input;
const endless: FakeTarget = async function* () {
  for (;;) {
    yield new Uint8Array(64 * 1024);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

/** A port here that leads to the target. */
async function forwarded(target: FakeTarget | undefined, options: ForwardPortOptions = {}) {
  const gateway = new FakeGateway();
  if (target) gateway.targets.set(80, target);
  const stack = new AsyncDisposableStack();
  const server = stack.use(await serveHttp2(gateway));
  const limits = { ...quickLimits, forwardSettleMs: 1 };
  const client = stack.use(connectToGateway({ url: server.url, limits }));
  const failures: unknown[] = [];
  const here = stack.use(
    await forwardPort(
      client,
      "demo",
      { is: "tcp", port: 80 },
      {
        onFailure: (error) => failures.push(error),
        ...options,
      },
    ),
  );
  const dial = async (): Promise<Socket> => {
    const socket = connect({ host: here.host, port: here.port, allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };
  return {
    gateway,
    server,
    here,
    dial,
    failures,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function until(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise((resolve) => setImmediate(resolve));
}

describe("a forwarded port", () => {
  it("carries many connections at once, each whole both ways, with its half-close", async () => {
    await using port = await forwarded(echo);
    const sent = numbers(300_000);
    const answers = Array.from({ length: 30 }, async () => {
      const socket = await port.dial();
      socket.end(sent);
      return (await buffer(socket)).toString();
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([sent]));
    await until(() => port.gateway.tokens.size === 0);
    expect(port.failures).toEqual([]);
  });

  it("ends with its target, and resets whoever goes on to send", async () => {
    const greeter: FakeTarget = async function* () {
      yield new TextEncoder().encode("hello");
    };
    await using port = await forwarded(greeter);
    const socket = await port.dial();
    expect((await buffer(socket.iterator({ destroyOnReturn: false }))).toString()).toBe("hello");
    // A socket that has read the end sees a reset only when it writes.
    let failure: NodeJS.ErrnoException | undefined;
    socket.on("error", (error) => (failure = error));
    while (!failure) {
      socket.write("more");
      await new Promise((done) => setImmediate(done));
    }
    expect(failure.code).toMatch(/ECONNRESET|EPIPE/);
    expect(port.failures).toEqual([]);
  });

  it("listens on this machine's loopback only", async () => {
    await using port = await forwarded(echo);
    expect(port.here.host).toBe("127.0.0.1");
  });

  it("holds a target up whose answer is not read", async () => {
    let frames = 0;
    const counted: FakeTarget = async function* (input) {
      for await (const data of endless(input)) {
        frames += 1;
        yield data;
      }
    };
    await using port = await forwarded(counted);
    const socket = await port.dial();
    socket.pause();
    await until(() => frames > 0);
    // It fills the windows and buffers on the way, and then stands still.
    for (let before = -1; before !== frames;) {
      before = frames;
      for (let turn = 0; turn < 2_000; turn += 1) await new Promise((done) => setImmediate(done));
    }
    expect(frames * 64).toBeLessThan(64 * 1024);
    socket.destroy();
  });

  it("resets a connection that breaks, and tells why; the next one is well", async () => {
    await using port = await forwarded(echo);
    const socket = await port.dial();
    socket.write("x");
    await once(socket, "data");
    port.server.cut();
    await expect(buffer(socket)).rejects.toMatchObject({ code: "ECONNRESET" });
    await until(() => port.failures.length === 1);
    const again = await port.dial();
    again.end("y");
    expect((await buffer(again)).toString()).toBe("y");
  });

  it("resets a connection that its target refuses, and tells why", async () => {
    await using port = await forwarded(undefined);
    await expect(buffer(await port.dial())).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(port.failures).toMatchObject([{ kind: "relay_refused" }]);
  });

  it("breaks the forward of a connection that is reset here, and tells nobody: they know", async () => {
    await using port = await forwarded(endless);
    const socket = await port.dial();
    await once(socket, "data");
    socket.resetAndDestroy();
    await until(() => port.gateway.tokens.size === 0);
    // The answer to its revocation has come before another connection is through.
    const next = await port.dial();
    await once(next, "data");
    next.destroy();
    expect(port.failures).toEqual([]);
  });

  it("closes connections beyond its limit as they come", async () => {
    await using port = await forwarded(echo, { maxConnections: 1 });
    const first = await port.dial();
    first.write("x");
    await once(first, "data");
    expect(await buffer(await port.dial())).toHaveLength(0);
    first.destroy();
  });

  it("fails where the port is taken", async () => {
    await using port = await forwarded(echo);
    const taken = forwarded(echo, { port: port.here.port });
    await expect(taken).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  it("that is disposed of listens no more, cuts its connections and revokes their tokens", async () => {
    await using port = await forwarded(echo);
    const socket = await port.dial();
    socket.write("x");
    await once(socket, "data");
    await port.here[Symbol.asyncDispose]();
    await expect(buffer(socket)).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(port.gateway.tokens.size).toBe(0);
    await expect(port.dial()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});
