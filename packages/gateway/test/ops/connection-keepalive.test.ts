import * as http2 from "node:http2";
import * as net from "node:net";
import { systemClock } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { keepConnectionAlive } from "../../src/ops/connection-keepalive.ts";
import { listenScene } from "../support/listen-scene.ts";
import { until } from "@belay/relay-core/testing";

/** More than the kernel buffers: so that the socket is full, not the window. */
const WINDOW_BYTES = 64 * 1024 * 1024;
const limits = { probeEveryMs: 60, deadAfterMs: 120 };

/** A server with keepalive, and a client to it over a path that can swallow everything. */
async function keepaliveScene(watch = limits) {
  const died = Promise.withResolvers<void>();
  const server = {
    dead: 0,
    sessions: [] as http2.ServerHttp2Session[],
    sockets: [] as net.Socket[],
    responses: [] as http2.Http2ServerResponse[],
  };
  const scene = await listenScene({
    clock: systemClock,
    onRequest(_request, response) {
      response.write("first");
      server.responses.push(response);
    },
    onHttp2Connection(session, socket) {
      server.sessions.push(session);
      server.sockets.push(socket);
      const onDead = () => {
        server.dead += 1;
        died.resolve();
      };
      keepConnectionAlive(session, socket, watch, { clock: systemClock, onDead });
    },
  });
  const path = await swallowingPath(scene.port);
  const client = http2.connect(`http://127.0.0.1:${path.port}`, {
    settings: { initialWindowSize: WINDOW_BYTES },
  });
  client.once("connect", () => client.setLocalWindowSize(WINDOW_BYTES));
  client.on("error", () => {});
  const stream = client.request({ ":path": "/" });
  stream.on("error", () => {});
  await new Promise((resolve) => stream.once("data", resolve));
  return {
    server,
    path,
    client,
    stream,
    died: died.promise,
    async [Symbol.asyncDispose]() {
      client.destroy();
      path.close();
      await scene[Symbol.asyncDispose]();
    },
  };
}

/** A proxy that, once told, forwards no byte more, neither FIN nor RST, and reads none. */
async function swallowingPath(to: number) {
  const pairs: net.Socket[] = [];
  let swallowing = false;
  const proxy = net.createServer((near) => {
    const far = net.connect(to, "127.0.0.1");
    pairs.push(near, far);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("error", () => {});
      from.on("data", (chunk) => void (swallowing || into.write(chunk)));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    port: (proxy.address() as net.AddressInfo).port,
    swallow(reads = true) {
      swallowing = true;
      if (!reads) for (const socket of pairs) socket.pause();
    },
    close() {
      for (const socket of pairs) socket.destroy();
      proxy.close();
    },
  };
}

const closed = (socket: net.Socket) =>
  socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", resolve));

describe("the keepalive of a connection", () => {
  it("ends a connection whose path has died, its streams and its socket", async () => {
    await using scene = await keepaliveScene();
    scene.path.swallow();
    const startMs = performance.now();
    await scene.died;
    expect(performance.now() - startMs).toBeLessThan(1_000);
    const [session] = scene.server.sessions;
    expect(session!.destroyed).toBe(true);
    await closed(scene.server.sockets[0]!);
    expect(scene.server.dead).toBe(1);
  });

  it("ends it too when the socket is full of what the dead peer did not take", async () => {
    await using scene = await keepaliveScene();
    const [session] = scene.server.sessions;
    const [socket] = scene.server.sockets;
    await until(() => session!.state.remoteWindowSize! > WINDOW_BYTES / 2, "the window is open");
    scene.path.swallow(false);
    scene.server.responses[0]!.write(Buffer.alloc(WINDOW_BYTES / 2));
    await scene.died;
    expect(session!.destroyed).toBe(true);
    await closed(socket!);
  });

  it("leaves a silent connection alone whose peer answers", async () => {
    await using scene = await keepaliveScene();
    const pings = Promise.withResolvers<void>();
    let seen = 0;
    scene.client.on("ping", () => {
      seen += 1;
      if (seen === 5) pings.resolve();
    });
    await pings.promise; // five times half the span that kills
    expect(scene.server.dead).toBe(0);
    expect(scene.server.sessions[0]!.destroyed).toBe(false);
  });

  it("does nothing when it is switched off", async () => {
    await using scene = await keepaliveScene({ probeEveryMs: 0, deadAfterMs: 0 });
    let pings = 0;
    scene.client.on("ping", () => (pings += 1));
    scene.path.swallow();
    await new Promise((resolve) => systemClock.setTimer(400, resolve as () => void));
    expect([pings, scene.server.dead]).toEqual([0, 0]);
  });

  it("takes the window that keeps a fast supervisor fast", async () => {
    await using scene = await keepaliveScene();
    expect(scene.server.sessions[0]!.state.effectiveLocalWindowSize).toBe(16 * 1024 * 1024);
  });
});
