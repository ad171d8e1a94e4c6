import { describe, expect, it } from "vitest";
import { allowOrigins } from "../../src/ops/browser-origins.ts";
import { answerWithVersion, listenScene } from "../support/listen-scene.ts";

const ours = "https://console.example";

const scene = (origins: string[]) =>
  listenScene({ onRequest: allowOrigins(new Set(origins), answerWithVersion) });

const preflight = {
  method: "OPTIONS",
  headers: {
    origin: ours,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,connect-protocol-version,content-type",
  },
};

describe("allowOrigins", () => {
  it("answers the preflight of a page that may call", async () => {
    await using gateway = await scene([ours]);
    const { status, headers } = await fetch(gateway.url, preflight);
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe(ours);
    expect(headers.get("access-control-allow-methods")).toBe("POST, GET");
    const allowed = headers.get("access-control-allow-headers")!.toLowerCase().split(", ");
    for (const name of preflight.headers["access-control-request-headers"].split(",")) {
      expect(allowed).toContain(name);
    }
  });

  it("lets such a page read the answer, and what of its headers clients need", async () => {
    await using gateway = await scene([ours, "https://other.example"]);
    const { headers } = await fetch(gateway.url, { headers: { origin: ours } });
    expect(headers.get("access-control-allow-origin")).toBe(ours);
    expect(headers.get("access-control-expose-headers")).toMatch(/grpc-status.*belay-exec-id/i);
    expect(headers.get("vary")).toBe("Origin");
  });

  it.each([
    ["a page of another origin", [ours], "https://evil.example"],
    ["a page whose origin only begins alike", [ours], `${ours}.evil.example`],
    ["every page, where none is named", [], ours],
  ])("tells %s nothing", async (_who, origins, origin) => {
    await using gateway = await scene(origins);
    for (const request of [
      { ...preflight, headers: { ...preflight.headers, origin } },
      { headers: { origin } },
    ]) {
      const { status, headers } = await fetch(gateway.url, request);
      expect(status).toBe(200); // what the handler answers
      expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  it("leaves callers that are no browsers alone", async () => {
    await using gateway = await scene([ours]);
    const response = await fetch(gateway.url);
    expect(await response.text()).toContain("GET /");
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });
});
