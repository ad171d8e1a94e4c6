// What stands on the wire, read without any client library: errors with their details as Connect and gRPC-Web write them, and
// what a gateway answers without RPC.
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "@belay/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Deployment } from "../../src/deployment.ts";
import { refuses } from "../../src/puppet-relays.ts";
import { exits } from "../../src/puppet-ssh.ts";
import { startGateway, startScene } from "../support/scene.ts";

let gateway: Deployment;
beforeAll(async () => void (gateway = await startGateway()));
afterAll(() => gateway[Symbol.asyncDispose]());

function post(method: string, type: string, body: string | Uint8Array<ArrayBuffer>) {
  return fetch(`${gateway.gatewayUrl}/openshell.v1.OpenShell/${method}`, {
    method: "POST",
    headers: { "content-type": type, "connect-protocol-version": "1" },
    body,
  });
}

interface Enveloped {
  flags: number;
  data: Buffer;
}

/** Five bytes before each message: flags, and the length. Connect and gRPC-Web have that in common. */
function envelope(data: string | Uint8Array): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(data as string);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

async function enveloped(response: Response): Promise<Enveloped[]> {
  const body = Buffer.from(await response.arrayBuffer());
  const messages: Enveloped[] = [];
  for (let at = 0; at < body.length;) {
    const length = body.readUInt32BE(at + 1);
    messages.push({ flags: body[at]!, data: body.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return messages;
}

interface ConnectErrorJson {
  code: string;
  message: string;
  details: { type: string; value: string }[];
}

function detailOf({ details }: ConnectErrorJson): unknown {
  expect(details).toMatchObject([{ type: "belay.v1.ErrorDetail" }]);
  return fromBinary(ErrorDetailSchema, Buffer.from(details[0]!.value, "base64"));
}

describe("Connect, JSON, HTTP/1.1", () => {
  it("streams output as base64, the exit, and an end without error", async () => {
    await using scene = await startScene(gateway, { exec: exits(3, "out") });
    const request = { sandboxId: scene.sandboxId, command: ["true"] };
    const response = await post(
      "ExecSandbox",
      "application/connect+json",
      envelope(JSON.stringify(request)),
    );
    expect(response.headers.get("content-encoding")).toBeNull();
    const messages = await enveloped(response);
    const json = messages.map(({ data }) => JSON.parse(data.toString()) as unknown);
    expect(messages.map(({ flags }) => flags)).toEqual([0, 0, 2]);
    expect(json[0]).toEqual({ stdout: { data: Buffer.from("out").toString("base64") } });
    expect(json[1]).toMatchObject({ exit: { exitCode: 3 } });
    expect(json[2]).not.toHaveProperty("error");
  });

  it("ends a stream with the error and its detail", async () => {
    await using scene = await startScene(gateway, { relays: refuses("no room") });
    const request = { sandboxId: scene.sandboxId, command: ["true"] };
    const response = await post(
      "ExecSandbox",
      "application/connect+json",
      envelope(JSON.stringify(request)),
    );
    const messages = await enveloped(response);
    expect(messages.map(({ flags }) => flags)).toEqual([2]);
    const { error } = JSON.parse(messages[0]!.data.toString()) as { error: ConnectErrorJson };
    expect(error).toMatchObject({ code: "unavailable", message: "no room" });
    expect(detailOf(error)).toMatchObject({
      kind: "relay_refused",
      outcome: "not_started",
      retry: "now",
      sandboxId: scene.sandboxId,
      sessionId: scene.puppet.sessionId,
    });
  });

  it("answers a unary call with the error and its detail", async () => {
    const response = await post("GetSandbox", "application/json", `{"name":"nobody"}`);
    expect(response.status).toBe(404);
    const error = (await response.json()) as ConnectErrorJson;
    expect(error).toMatchObject({ code: "not_found", message: "sandbox not found" });
    expect(detailOf(error)).toMatchObject({ kind: "sandbox_not_found", retry: "never" });
  });

  it.each(["{", `{"name":3}`, `{"nmae":"x"}`, "\u0000"])("refuses %j", async (body) => {
    const response = await post("GetSandbox", "application/json", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "invalid_argument" });
  });

  it("answers an unknown method with unimplemented", async () => {
    const response = await post("NoSuchMethod", "application/json", "{}");
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "unimplemented" });
  });
});

describe("gRPC-Web, HTTP/1.1", () => {
  it("ends with trailers that hold status, text and detail", async () => {
    await using scene = await startScene(gateway, { relays: refuses("kein Platz: voll") });
    // Field 1, sandbox_id, and field 2, command: one string each.
    const id = Buffer.from(scene.sandboxId);
    const request = Buffer.concat([Buffer.of(0x0a, id.length), id, Buffer.from("\x12\x04true")]);
    const response = await post("ExecSandbox", "application/grpc-web+proto", envelope(request));
    const trailers = (await enveloped(response)).find(({ flags }) => flags === 0x80)!;
    const lines = trailers.data.toString().trim().split("\r\n");
    const fields = new Headers(lines.map((line) => line.split(/: ?/, 2) as [string, string]));
    expect(fields.get("grpc-status")).toBe("14");
    expect(lines.join("\n")).toMatch(/grpc-message: ?kein(%20| )Platz/);
    const details = Buffer.from(fields.get("grpc-status-details-bin") ?? "", "base64");
    expect(details.includes("type.googleapis.com/belay.v1.ErrorDetail")).toBe(true);
    expect(details.includes("relay_refused")).toBe(true);
  });

  it("answers an unknown method with UNIMPLEMENTED", async () => {
    const response = await post("NoSuchMethod", "application/grpc-web+proto", envelope(""));
    expect(response.status).toBe(200);
    expect(response.headers.get("grpc-status")).toBe("12");
  });

  it.each([
    ["whose message ends early", Buffer.of(0, 0, 0, 0, 50, 1, 2)],
    ["whose message is no protobuf", envelope(Buffer.alloc(64, 0xff))],
    ["that claims 4 GiB", Buffer.of(0, 0xff, 0xff, 0xff, 0xff, 1)],
  ])("answers a request %s with an error", async (_name, body) => {
    const response = await post("ExecSandbox", "application/grpc-web+proto", new Uint8Array(body));
    const inHeaders = response.headers.get("grpc-status");
    const inBody = /grpc-status: ?(\d+)/.exec(Buffer.from(await response.arrayBuffer()).toString());
    expect(Number(inHeaders ?? inBody?.[1])).toBeGreaterThan(0);
  });
});

describe("without RPC", () => {
  it.each([
    ["healthz", 200, /^ok/],
    ["readyz", 200, /^ready/],
    ["metrics", 200, /^belay_sessions 0$/m],
    ["nothing-here", 404, /./],
  ])("GET /%s", async (path, status, text) => {
    const response = await fetch(`${gateway.gatewayUrl}/${path}`);
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(text);
  });
});
