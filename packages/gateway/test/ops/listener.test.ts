import * as http from "node:http";
import * as http2 from "node:http2";
import type * as net from "node:net";
import { text as readText } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { listen } from "../../src/ops/listener.ts";
import { answerWithVersion, listenScene, rawClient } from "../support/listen-scene.ts";
import { settled, until } from "@belay/relay-core/testing";
import { testLimits } from "../support/test-limits.ts";

function request(method: string, connection = "close"): string {
  return `${method} /x HTTP/1.1\r\nhost: a\r\nconnection: ${connection}\r\n\r\n`;
}

/** Each byte in a packet of its own, which the server has read before the next one comes. */
async function writeByteByByte(socket: net.Socket, bytes: Buffer): Promise<void> {
  socket.setNoDelay(true);
  if (socket.connecting) await new Promise((resolve) => socket.once("connect", resolve));
  for (const byte of bytes) {
    socket.write(Buffer.from([byte]));
    await settled();
  }
}

describe("one port in clear", () => {
  it("answers HTTP/1.1", async () => {
    await using scene = await listenScene();
    const [response] = await new Promise<[http.IncomingMessage]>((resolve) => {
      http.get(`${scene.url}/x`, { agent: false }, (answer) => resolve([answer]));
    });
    expect(await readText(response)).toBe("GET /x over 1.1\n");
    expect(scene.sessions).toEqual([]);
  });

  it("answers HTTP/2 with prior knowledge, and gives its socket with it", async () => {
    await using scene = await listenScene();
    const client = http2.connect(scene.url);
    const stream = client.request({ ":path": "/x" });
    expect(await readText(stream)).toBe("GET /x over 2.0\n");
    expect(scene.sessions).toEqual([client.socket.localPort]);
    client.destroy();
  });

  it("gives each of many HTTP/2 connections its own socket", async () => {
    await using scene = await listenScene();
    const clients = Array.from({ length: 10 }, () => http2.connect(scene.url));
    await Promise.all(clients.map((client) => readText(client.request({ ":path": "/" }))));
    const ports = clients.map((client) => client.socket.localPort);
    expect(new Set(scene.sessions)).toEqual(new Set(ports));
    for (const client of clients) client.destroy();
  });

  it.each(["POST", "PUT", "PATCH", "PROPFIND", "PROPPATCH", "GET"])(
    "takes the method %s for HTTP/1.1",
    async (method) => {
      await using scene = await listenScene();
      using client = rawClient(scene.port);
      client.socket.write(request(method));
      await client.ended;
      expect(client.text()).toContain(`${method} /x over 1.1\n`);
    },
  );

  it("answers a request that comes one byte at a time", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    await writeByteByByte(client.socket, Buffer.from(request("POST")));
    await client.ended;
    expect(client.text()).toContain("POST /x over 1.1\n");
  });

  it("answers an HTTP/2 preface that comes one byte at a time", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    const emptySettings = "\0\0\0\x04\0\0\0\0\0";
    const preface = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${emptySettings}`;
    await writeByteByByte(client.socket, Buffer.from(preface, "latin1"));
    const settingsAck = "\0\0\0\x04\x01\0\0\0\0";
    await until(() => client.text().includes(settingsAck), "the settings are acknowledged");
    expect(scene.sessions).toHaveLength(1);
  });

  it("takes an HTTP/1.1 client that closes its side for gone, and tells the handler", async () => {
    const gone = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    await using scene = await listenScene({
      onRequest(_request, response) {
        response.once("close", gone.resolve);
        asked.resolve();
      },
    });
    using client = rawClient(scene.port);
    client.socket.write(request("GET"));
    await asked.promise;
    client.socket.end();
    await gone.promise;
    await client.ended;
    expect(client.text()).toBe("");
  });

  it("answers several requests on one connection", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    client.socket.write(request("GET", "keep-alive") + request("PUT", "close"));
    await client.ended;
    expect(client.text()).toMatch(/GET \/x over 1\.1\n[^]*PUT \/x over 1\.1\n/);
  });

  it.each(["nonsense\r\n\r\n", "\0\x01\x02\x03\r\n\r\n", "P x HTTP/1.1\r\n\r\n"])(
    "answers %j with 400",
    async (garbage) => {
      await using scene = await listenScene();
      using client = rawClient(scene.port);
      client.socket.write(garbage);
      await client.ended;
      expect(client.text()).toMatch(/^HTTP\/1\.1 400 /);
    },
  );

  it("ends a connection that begins like HTTP/2 and is none", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    client.socket.write("PRINT it, and then some more than a preface\r\n\r\n");
    await client.ended;
    expect(client.text()).not.toContain("200");
  });

  it.each(["", "P", "PR"])("cuts a client that says %j and no more", async (start) => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    client.socket.write(start);
    await scene.clock.waitForTimers(1);
    await scene.clock.advance(9_999);
    expect(client.socket.readableEnded).toBe(false);
    await scene.clock.advance(1);
    await client.ended;
    expect(client.text()).toBe("");
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("forgets the clock of a client that has gone", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    await scene.clock.waitForTimers(1);
    client.socket.end();
    await until(() => scene.clock.pendingTimers === 0, "its timer is cancelled");
    expect(client.text()).toBe("");
  });

  it("says why it cannot take its address", async () => {
    await using scene = await listenScene();
    const second = listen({
      host: "127.0.0.1",
      port: scene.port,
      limits: testLimits(),
      clock: scene.clock,
      onRequest: answerWithVersion,
      onHttp2Connection: () => {},
    });
    await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});

describe("a request that goes on after its response has ended", () => {
  /** A stream whose response has ended, and whose request has not. */
  async function answered() {
    const scene = await listenScene({
      onRequest(request, response) {
        // Read, as an RPC does: Node itself closes a stream of whose request nobody has read.
        request.once("data", () => response.end("answer"));
      },
    });
    const client = http2.connect(scene.url);
    const stream = client.request({ ":path": "/x", ":method": "POST" });
    stream.write("the first part");
    expect(await readText(stream)).toBe("answer");
    await scene.clock.waitForTimers(1);
    return { scene, client, stream };
  }

  it("is asked to stop at the limit, without an error", async () => {
    const { scene, client, stream } = await answered();
    await using _ = scene;
    await scene.clock.advance(9_999);
    await settled();
    expect(stream.closed).toBe(false);
    await scene.clock.advance(1);
    await until(() => stream.closed);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    client.destroy();
  });

  it("may end by itself before", async () => {
    const { scene, client, stream } = await answered();
    await using _ = scene;
    stream.end("the rest");
    await until(() => stream.closed && scene.clock.pendingTimers === 0);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    client.destroy();
  });
});
