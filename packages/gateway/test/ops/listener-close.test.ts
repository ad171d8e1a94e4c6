import * as http2 from "node:http2";
import { text as readText } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import type { RequestHandler } from "../../src/ops/listener.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { listenScene, rawClient } from "../support/listen-scene.ts";
import { isSettled, until } from "@belay/relay-core/testing";

/** Holds each answer until the test gives it. */
function heldAnswers() {
  const held: (() => void)[] = [];
  const onRequest: RequestHandler = (_request, response) => {
    held.push(() => response.end("late"));
  };
  return { held, onRequest };
}

const keepAlive = "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";

describe.each([
  ["in clear", {}],
  ["under TLS", { tls: selfSignedCertificate() }],
])("close(), %s,", (_what, options) => {
  const connect = (url: string) =>
    http2.connect(url, { ...("tls" in options && { ca: options.tls.cert }) });

  it("ends at once when nobody is connected", async () => {
    await using scene = await listenScene(options);
    await scene.listener.close(10_000);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("ends at once when connections are idle", async () => {
    await using scene = await listenScene(options);
    const client = connect(scene.url);
    await readText(client.request({ ":path": "/" }));
    await scene.listener.close(10_000);
    expect(client.closed).toBe(true);
  });

  it("lets a call finish that runs", async () => {
    const { held, onRequest } = heldAnswers();
    await using scene = await listenScene({ ...options, onRequest });
    const client = connect(scene.url);
    const answer = readText(client.request({ ":path": "/" }));
    await until(() => held.length === 1);
    const closed = scene.listener.close(10_000);
    expect(await isSettled(closed)).toBe(false);
    held[0]!();
    expect(await answer).toBe("late");
    await closed;
  });

  it("cuts a call that does not finish within the limit", async () => {
    const { held, onRequest } = heldAnswers();
    await using scene = await listenScene({ ...options, onRequest });
    const client = connect(scene.url);
    client.on("error", () => {});
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    await until(() => held.length === 1);
    const closed = scene.listener.close(2_000);
    await scene.clock.advance(1_999);
    expect(await isSettled(closed)).toBe(false);
    await scene.clock.advance(1);
    await closed;
    await until(() => client.destroyed, "the client hears of it");
  });
});

describe("close()", () => {
  it("cuts connections that have not said what they are", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    client.socket.write("P");
    await scene.clock.waitForTimers(1);
    const closed = scene.listener.close(0);
    await scene.clock.advance(0);
    await closed;
    await client.ended;
    expect(client.text()).toBe("");
  });

  it("ends idle HTTP/1.1 connections at once", async () => {
    await using scene = await listenScene();
    using client = rawClient(scene.port);
    client.socket.write(keepAlive);
    await until(() => client.text().includes("over 1.1"));
    await scene.listener.close(10_000);
    await client.ended;
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("takes no more connections", async () => {
    await using scene = await listenScene();
    await scene.listener.close(0);
    using client = rawClient(scene.port);
    await client.ended;
    expect(client.socket.readyState).not.toBe("open");
  });
});
