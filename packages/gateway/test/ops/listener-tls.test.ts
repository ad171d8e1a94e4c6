import * as http2 from "node:http2";
import * as https from "node:https";
import { text as readText } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { selfSignedCertificate } from "../support/certificate.ts";
import { listenScene, rawClient } from "../support/listen-scene.ts";

const tls = selfSignedCertificate();
const ca = tls.cert;

describe("one port under TLS", () => {
  it("answers HTTP/2 by ALPN, and gives the TLS socket with it", async () => {
    await using scene = await listenScene({ tls });
    const client = http2.connect(scene.url, { ca });
    expect(await readText(client.request({ ":path": "/x" }))).toBe("GET /x over 2.0\n");
    expect(scene.sessions).toEqual([client.socket.localPort]);
    client.destroy();
  });

  it.each([[["http/1.1"]], [undefined]])("answers HTTP/1.1 to ALPN %j", async (protocols) => {
    await using scene = await listenScene({ tls });
    const response = await new Promise<Parameters<typeof readText>[0]>((resolve, reject) => {
      const options = { ca, agent: false, ...(protocols && { ALPNProtocols: protocols }) };
      https.get(`${scene.url}/x`, options, resolve).on("error", reject);
    });
    expect(await readText(response)).toBe("GET /x over 1.1\n");
    expect(scene.sessions).toEqual([]);
  });

  it("says https in its URL", async () => {
    await using scene = await listenScene({ tls });
    expect(scene.url).toBe(`https://127.0.0.1:${scene.port}`);
  });

  it.each(["silence", "plain HTTP"])("cuts a client that offers %s", async (what) => {
    await using scene = await listenScene({ tls, limits: { firstBytesMs: 100 } });
    using client = rawClient(scene.port);
    if (what === "plain HTTP") client.socket.write("GET / HTTP/1.1\r\n\r\n");
    await client.ended;
    expect(client.text()).not.toContain("HTTP/1.1 200");
  });

  it("goes on after a handshake that failed", async () => {
    await using scene = await listenScene({ tls });
    const stranger = http2.connect(scene.url, { ca: [] });
    await new Promise((resolve) => stranger.once("error", resolve));
    const client = http2.connect(scene.url, { ca });
    expect(await readText(client.request({ ":path": "/x" }))).toBe("GET /x over 2.0\n");
    client.destroy();
  });
});
