// pinned-connection.test.ts: one HTTP/2 connection against real servers, and against none.
import * as http2 from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "@belay/relay-core";
import { PinnedConnection } from "../src/link/pinned-connection.ts";
import { until } from "./support/until.ts";

const NEVER = new AbortController().signal;
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(
  server: Server | http2.Http2Server,
): Promise<{ url: URL; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: new URL(`http://127.0.0.1:${port}`), sockets };
}

function http2Server(options: http2.ServerOptions = {}): http2.Http2Server {
  const server = http2.createServer(options);
  server.on("session", (session) => session.on("error", () => {}));
  return server;
}

function open(gateway: URL, keepaliveMs = 0, connectMs = 5_000): Promise<PinnedConnection> {
  return PinnedConnection.open(
    {
      gateway,
      keepalive: { probeEveryMs: keepaliveMs, deadAfterMs: keepaliveMs * 2 },
      connectMs,
      socketCloseMs: 50,
      clock: systemClock,
    },
    { signal: NEVER },
  );
}

function ended(connection: PinnedConnection): Promise<unknown> {
  return until("the connection has ended", () => connection.closed.aborted && connection.closed);
}

describe("a connection to the gateway", () => {
  it("is open when HTTP/2 is spoken, and carries requests", async () => {
    const server = http2Server();
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200 });
      stream.end("hello");
    });
    const { url } = await listen(server);
    const connection = await open(url);
    const stream = await connection.request("GET", "/", {}, {});
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    expect(text).toBe("hello");
    connection.close();
  });

  it("is none where a port accepts and stays silent", async () => {
    const { url, sockets } = await listen(createServer((socket) => socket.resume()));
    await expect(open(url, 0, 100)).rejects.toMatchObject({
      kind: "session_lost",
      message: "connection to the gateway: no answer within 100 ms",
    });
    await until("its socket is gone", () => sockets[0]?.destroyed);
  });

  it("is none where nobody listens, or where something else does", async () => {
    const server = createServer((socket) => socket.end("SSH-2.0-somebody\r\n"));
    const { url } = await listen(server);
    await expect(open(url)).rejects.toMatchObject({ kind: "session_lost" });
    await expect(open(new URL("http://127.0.0.1:1"))).rejects.toMatchObject({
      kind: "session_lost",
      cause: { code: "ECONNREFUSED" },
    });
  });

  it("is given up when we stop", async () => {
    const { url } = await listen(createServer());
    const stop = new AbortController();
    const opening = PinnedConnection.open(
      {
        gateway: url,
        keepalive: { probeEveryMs: 0, deadAfterMs: 0 },
        connectMs: 60_000,
        socketCloseMs: 50,
        clock: systemClock,
      },
      { signal: stop.signal },
    );
    stop.abort(new Error("stopped"));
    await expect(opening).rejects.toThrow("stopped");
  });

  it("ends with its socket, and takes no request afterwards", async () => {
    const { url, sockets } = await listen(http2Server());
    const connection = await open(url);
    sockets[0]?.resetAndDestroy();
    await ended(connection);
    expect(connection.closed.reason).toMatchObject({ kind: "session_lost" });
    await expect(connection.request("GET", "/", {}, {})).rejects.toThrow(/lost/);
  });

  it("ends when the path goes silent, and keeps no socket", async () => {
    const { url, sockets } = await listen(http2Server());
    const connection = await open(url, 100);
    blackHole(sockets[0]!);
    await ended(connection);
    expect(connection.closed.reason).toMatchObject({ cause: { message: "no byte for 200 ms" } });
  });

  it("stays while a silent gateway answers PING", async () => {
    const server = http2Server();
    let pings = 0;
    server.on("session", (session) => session.on("ping", () => (pings += 1)));
    const { url } = await listen(server);
    const connection = await open(url, 40);
    // Each comes after a silence of 40 ms, and a silence of 80 ms would be its end.
    await until("it has asked often", () => connection.closed.aborted || pings >= 8);
    expect(connection.closed.aborted).toBe(false);
    connection.close();
  });

  it("ends although its full socket never drains", async () => {
    const windowBytes = 64 * 1024 * 1024;
    const server = http2Server({ settings: { initialWindowSize: windowBytes } });
    server.on("session", (session) => session.setLocalWindowSize(windowBytes));
    const { url, sockets } = await listen(server);
    const connection = await open(url, 100);
    blackHole(sockets[0]!);
    const stream = await connection.request("POST", "/", {}, {});
    stream.on("error", () => {});
    stream.write(Buffer.alloc(windowBytes / 2)); // more than kernels buffer
    await ended(connection);
    expect(await until("only the peer's end is left", () => openTcpSockets() === 1)).toBe(true);
  });

  it("takes no new streams after a GOAWAY, and keeps those it has", async () => {
    const server = http2Server();
    const sessions: http2.ServerHttp2Session[] = [];
    server.on("session", (session) => sessions.push(session));
    let kept: http2.ServerHttp2Stream | undefined;
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      if (kept) return stream.close(); // opened before the GOAWAY was read
      kept = stream;
      stream.respond({ ":status": 200 });
      stream.write("first");
    });
    const { url } = await listen(server);
    const connection = await open(url);
    const stream = await connection.request("GET", "/", {}, {});
    let text = "";
    stream.once("data", () => sessions[0]?.goaway(0));
    stream.on("data", (chunk) => (text += String(chunk)));
    await until("the refusal", async () =>
      connection.request("GET", "/", {}, {}).then(
        (extra) => extra.close() ?? false,
        () => true,
      ),
    );
    kept?.end("last");
    expect(await until("the stream's end", () => text === "firstlast")).toBe(true);
  });
});

function openTcpSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}

/** The peer's kernel takes what comes, until it is full. The peer's end of the socket is never read again, and nothing is written on it. */
function blackHole(socket: Socket): void {
  const { _handle } = socket as unknown as { _handle: { readStop(): void } };
  _handle.readStop();
}
