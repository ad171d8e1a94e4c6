// Connections that are no calls: noise, half a preface, silence. Each ends within its bound, and the calls beside them go on.
import * as http2 from "node:http2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Deployment } from "../../src/deployment.ts";
import { exits } from "../../src/puppet-ssh.ts";
import { PuppetSupervisor } from "../../src/puppet-supervisor.ts";
import { poll, within } from "../../src/wait.ts";
import { startBystander } from "../support/bystander.ts";
import type { Bystander } from "../support/bystander.ts";
import { atOnceMs, expectExit, slackMs } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { signToken } from "../support/own-tokens.ts";
import { RawConnection } from "../support/raw-connection.ts";
import { emptyScene, startGateway, startScene } from "../support/scene.ts";
import { startTlsGateway } from "../support/tls-gateway.ts";
import type { TlsGateway } from "../support/tls-gateway.ts";

/** What the gateway gives a new connection, and a new stream of a supervisor, to say its first word. No setting moves it. */
const firstWordMs = 10_000;
const keepaliveMs = 3_000;

let gateway: Deployment;
let bystander: Bystander;
let tls: TlsGateway;
beforeAll(async () => {
  gateway = await startGateway(
    flags({
      "keepalive-interval-ms": keepaliveMs / 2,
      "keepalive-timeout-ms": keepaliveMs / 2,
    }),
  );
  bystander = await startBystander(gateway);
  tls = await startTlsGateway();
});
afterAll(async () => {
  await tls[Symbol.asyncDispose]();
  await bystander[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const noise = Buffer.from(Array.from({ length: 4_096 }, (_, at) => (at * 7_919 + 13) % 256));

/** An HTTP/2 frame's header of nine bytes. */
function frame(type: number, payload: Buffer, streamId = 0, length = payload.length): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

const settings = frame(4, Buffer.alloc(0));

describe.concurrent("noise ends its connection at once", () => {
  it.each([
    ["from the first byte", noise],
    ["that is SSH", Buffer.from("SSH-2.0-lost\r\n")],
    ["that is TLS", Buffer.from("1603010200010001fc0303", "hex")],
    ["after the HTTP/2 preface", Buffer.concat([preface, noise])],
    ["in place of the preface's end", Buffer.concat([preface.subarray(0, 14), noise])],
    ["in a frame's header", Buffer.concat([preface, settings, frame(1, noise, 2)])],
    ["that claims a frame of 16 MiB", Buffer.concat([preface, frame(0, noise, 1, 0xff_ff_ff)])],
  ])("%s", async (_name, bytes) => {
    using raw = new RawConnection(gateway.gatewayUrl);
    const sinceMs = performance.now();
    raw.say(bytes);
    expect(await raw.goneAfterMs(sinceMs, 20_000)).toBeLessThan(atOnceMs);
  });
});

describe.concurrent("silence ends its connection within the bound", () => {
  it.each([
    ["that says nothing at all", "", firstWordMs],
    ["that stops inside the first word", "PR", firstWordMs],
    ["that stops inside the HTTP/2 preface", preface.subarray(0, 20), keepaliveMs],
    ["that stops after the HTTP/2 preface", preface, keepaliveMs],
    ["that stops after its settings", Buffer.concat([preface, settings]), keepaliveMs],
  ])("on a connection %s", async (_name, bytes, withinMs) => {
    const sinceMs = performance.now();
    using raw = new RawConnection(gateway.gatewayUrl);
    raw.say(bytes);
    const tookMs = await raw.goneAfterMs(sinceMs, withinMs + 10_000);
    expect(tookMs).toBeGreaterThan(withinMs * 0.4);
    expect(tookMs).toBeLessThan(withinMs + slackMs);
  });

  it.each([
    ["says nothing at all", ""],
    ["stops inside a TLS record", Buffer.from("16030102000100", "hex")],
  ])("on a connection to a TLS port that %s", async (_name, bytes) => {
    const sinceMs = performance.now();
    using raw = new RawConnection(tls.url);
    raw.say(bytes);
    const tookMs = await raw.goneAfterMs(sinceMs, firstWordMs + 10_000);
    expect(tookMs).toBeGreaterThan(firstWordMs * 0.9);
    expect(tookMs).toBeLessThan(firstWordMs + slackMs);
  });

  it.each(["ConnectSupervisor", "RelayStream"])("on a %s that says nothing", async (method) => {
    const session = http2.connect(gateway.gatewayUrl);
    session.on("error", () => {});
    try {
      const sinceMs = performance.now();
      const stream = session.request({
        ":method": "POST",
        ":path": `/openshell.v1.OpenShell/${method}`,
        "content-type": "application/grpc",
        authorization: `Bearer ${await signToken(gateway.dataDir)}`,
        te: "trailers",
      });
      const { promise, resolve } = Promise.withResolvers<http2.IncomingHttpHeaders>();
      stream.on("trailers", resolve).on("response", (headers) => {
        if (headers["grpc-status"] !== undefined) resolve(headers);
      });
      stream.on("error", () => {}).resume();
      const status = await within("the call's end", firstWordMs + 10_000, promise);
      expect(status["grpc-status"]).toBe("3");
      expect(decodeURIComponent(String(status["grpc-message"]))).toMatch(/no answer within/);
      const tookMs = performance.now() - sinceMs;
      expect(tookMs).toBeGreaterThan(firstWordMs * 0.9);
      expect(tookMs).toBeLessThan(firstWordMs + slackMs);
    } finally {
      session.destroy();
    }
  });
});

describe("many at once", () => {
  it("take nothing from those that are calls", async () => {
    const crowd = Array.from({ length: 300 }, () => new RawConnection(gateway.gatewayUrl));
    for (const raw of crowd) raw.say("PR");
    await using scene = await startScene(gateway, { exec: exits(0, "still served") });
    expectExit(await scene.exec(gateway.client()).result, 0, "still served");
    const before = await gateway.gateway.openFdCount();
    expect(before).toBeGreaterThan(300);
    for (const raw of crowd) raw[Symbol.dispose]();
    await poll(
      "their sockets to be gone",
      async () => (await gateway.gateway.openFdCount()) < before - 290,
    );
  });

  it("of sessions that say hello and leave, leave nothing behind", async () => {
    const scene = await emptyScene(gateway);
    for (let n = 0; n < 50; n++) {
      await using puppet = new PuppetSupervisor({
        url: gateway.gatewayUrl,
        token: scene.token,
        sandboxId: scene.sandboxId,
      });
      if (n % 2 === 0) await puppet.answered();
    }
    await scene.connect({ exec: exits(1) });
    expectExit(await scene.exec(gateway.client()).result, 1);
    await scene[Symbol.asyncDispose]();
  });
});

describe("all of it", () => {
  it("went by the exec that ran beside it", async () => {
    await bystander.expectEndsWell();
    expect(gateway.gateway.lines.filter(({ fields }) => fields["level"] === "error")).toEqual([]);
  });
});
