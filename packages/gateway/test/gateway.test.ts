import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { ExecService, OpenShell, ServiceStatus } from "@belay/protocol";
import { systemClock } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { runGateway } from "../src/index.ts";
import type { GatewayConfig } from "../src/index.ts";
import { logLines } from "./support/log-lines.ts";
import { tempDir } from "./support/temp-dir.ts";
import { testLimits } from "./support/test-limits.ts";
import { until } from "@belay/relay-core/testing";

const PAGE = "https://console.example";

async function gatewayScene(userTokens?: string) {
  const dir = await tempDir();
  const config: GatewayConfig = {
    host: "127.0.0.1",
    port: 0,
    dataDir: join(dir.path, "data"),
    limits: testLimits(),
    allowedOrigins: new Set([PAGE]),
    without: new Set(),
    ...(userTokens !== undefined && { userTokensFile: join(dir.path, "users.txt") }),
  };
  if (userTokens !== undefined) await writeFile(config.userTokensFile!, userTokens);
  const [draining, now] = [new AbortController(), new AbortController()];
  const stop = { draining: draining.signal, now: now.signal, [Symbol.dispose]() {} };
  const { log, lines } = logLines();
  const ended = runGateway(config, { clock: systemClock, log, version: "9.9.9", stop });
  ended.catch(() => {});
  const ready = async () => {
    const line = () => lines.find(({ event }) => event === "gateway.ready");
    await Promise.race([ended, until(() => line() !== undefined, "gateway.ready")]);
    return line()?.fields["url"] as string;
  };
  return {
    draining,
    lines,
    ended,
    ready,
    async [Symbol.asyncDispose]() {
      draining.abort();
      now.abort();
      await ended.catch(() => {});
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe("runGateway", () => {
  it.each([
    ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
    ["Connect", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ])("serves %s until it is told to stop", async (_protocol, transport) => {
    await using scene = await gatewayScene();
    const client = createClient(OpenShell, transport(await scene.ready()));
    expect(await client.health({})).toMatchObject({
      status: ServiceStatus.HEALTHY,
      version: "9.9.9",
    });
    await expect(client.getSandbox({ name: "none" })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: "sandbox not found",
    });
    scene.draining.abort();
    await scene.ended;
    expect(scene.lines.map(({ event }) => event)).toEqual([
      "gateway.ready",
      "gateway.draining",
      "gateway.stopped",
    ]);
  });

  it.each([
    ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" })],
    [
      "Connect with GET",
      (baseUrl: string) =>
        createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true }),
    ],
  ])("serves ExecService over %s", async (_protocol, transport) => {
    await using scene = await gatewayScene();
    const client = createClient(ExecService, transport(await scene.ready()));
    const exec = { sandboxId: "none", execId: "exec-1" };
    const refusal = { code: Code.NotFound, rawMessage: "sandbox not found" };
    await expect(client.getExec(exec)).rejects.toMatchObject(refusal);
    await expect(client.startExec(exec)).rejects.toMatchObject(refusal);
    const events = client.followExec(exec)[Symbol.asyncIterator]();
    await expect(events.next()).rejects.toMatchObject(refusal);
  });

  it("asks users for their tokens, but not the one that asks for its health", async () => {
    await using scene = await gatewayScene("alice token-of-alice-01\n");
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: await scene.ready() }));
    await client.health({});
    await expect(client.listSandboxes({})).rejects.toMatchObject({ code: Code.Unauthenticated });
    const headers = { authorization: "Bearer token-of-alice-01" };
    expect((await client.listSandboxes({}, { headers })).sandboxes).toEqual([]);
  });

  it("says who calls, and what it is", async () => {
    await using scene = await gatewayScene("alice token-of-alice-01\n");
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: await scene.ready() }));
    const headers = { authorization: "Bearer token-of-alice-01" };
    expect(await client.getCurrentUser({}, { headers })).toMatchObject({
      subject: "alice",
      displayName: "alice",
      identityProvider: "oidc",
    });
    expect(await client.getGatewayInfo({}, { headers })).toMatchObject({
      status: ServiceStatus.HEALTHY,
      gatewayVersion: "9.9.9",
      computeDrivers: [],
    });
    for (const call of [client.getCurrentUser({}), client.getGatewayInfo({})]) {
      await expect(call).rejects.toMatchObject({ code: Code.Unauthenticated });
    }
  });

  it("calls everybody the local user where no tokens are set", async () => {
    await using scene = await gatewayScene();
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: await scene.ready() }));
    expect(await client.getCurrentUser({})).toMatchObject({
      subject: "local",
      identityProvider: "local_dev",
    });
  });

  it("lets a page of an allowed origin read what it answers", async () => {
    await using scene = await gatewayScene();
    const response = await fetch(`${await scene.ready()}/openshell.v1.OpenShell/GetCurrentUser`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: PAGE },
      body: "{}",
    });
    expect(await response.json()).toMatchObject({ subject: "local" });
    expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
  });

  it("asks users for their tokens before anything of a forward", async () => {
    await using scene = await gatewayScene("alice token-of-alice-01\n");
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: await scene.ready() }));
    const nothing = (async function* () {})();
    const forward = client.forwardTcp(nothing)[Symbol.asyncIterator]();
    for (const call of [
      forward.next(),
      client.createSshSession({ sandboxId: "sb-1" }),
      client.revokeSshSession({ token: "t" }),
    ]) {
      await expect(call).rejects.toMatchObject({ code: Code.Unauthenticated });
    }
  });

  it("lets no user act for a sandbox", async () => {
    await using scene = await gatewayScene("alice token-of-alice-01\n");
    const client = createClient(OpenShell, createGrpcTransport({ baseUrl: await scene.ready() }));
    const headers = { authorization: "Bearer token-of-alice-01" };
    const nothing = (async function* () {})();
    for (const call of [client.connectSupervisor, client.relayStream]) {
      const answer = call(nothing, { headers })[Symbol.asyncIterator]();
      await expect(answer.next()).rejects.toMatchObject({ code: Code.PermissionDenied });
    }
  });

  it("does not start with bad user tokens", async () => {
    await using scene = await gatewayScene("nonsense\n");
    await expect(scene.ended).rejects.toThrow("user tokens file: line 1: not SUBJECT TOKEN");
    expect(scene.lines).toEqual([]);
  });
});
