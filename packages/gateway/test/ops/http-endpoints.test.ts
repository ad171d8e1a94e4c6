import * as http2 from "node:http2";
import { text as readText } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { answerHttp } from "../../src/ops/http-endpoints.ts";
import { Metrics } from "../../src/ops/metrics.ts";
import { listenScene } from "../support/listen-scene.ts";

async function ask(headers: http2.OutgoingHttpHeaders, isReady = () => true) {
  const metrics = new Metrics({
    sessions: () => 3,
    relays: () => 2,
    runningExecs: () => 1,
    openForwards: () => 4,
  });
  metrics.execEnded("exited", 20);
  metrics.execEnded("relay_lost", 20);
  metrics.output("stdout", 100);
  await using scene = await listenScene({
    onRequest: (request, response) => {
      const mayCall = (authorization: string | undefined) => authorization !== "Bearer wrong";
      void answerHttp(request, response, { metrics, isReady, mayCall });
    },
  });
  const client = http2.connect(scene.url);
  try {
    const stream = client.request(headers);
    const answer = new Promise<http2.IncomingHttpHeaders>((resolve) =>
      stream.once("response", resolve),
    );
    const body = await readText(stream);
    return { headers: await answer, body };
  } finally {
    client.destroy();
  }
}

describe("what is answered without RPC", () => {
  it("is well while the program runs", async () => {
    const { headers, body } = await ask({ ":path": "/healthz?from=probe" });
    expect([headers[":status"], body]).toEqual([200, "ok\n"]);
    expect((await ask({ ":path": "/healthz" }, () => false)).body).toBe("ok\n");
  });

  it("is ready until the drain", async () => {
    expect((await ask({ ":path": "/readyz" })).headers[":status"]).toBe(200);
    const { headers, body } = await ask({ ":path": "/readyz" }, () => false);
    expect([headers[":status"], body]).toEqual([503, "draining\n"]);
  });

  it("counts, for Prometheus", async () => {
    const { headers, body } = await ask({ ":path": "/metrics" });
    expect(headers["content-type"]).toMatch(/^text\/plain; version=/);
    for (const line of [
      "belay_sessions 3",
      "belay_relays 2",
      "belay_execs_running 1",
      "belay_forwards 4",
      'belay_execs_total{result="exited"} 1',
      'belay_execs_total{result="relay_lost"} 1',
      'belay_output_bytes_total{stream="stdout"} 100',
    ]) {
      expect(body.split("\n")).toContain(line);
    }
  });

  it("tells its numbers only to those who may call", async () => {
    const { headers, body } = await ask({ ":path": "/metrics", authorization: "Bearer wrong" });
    expect(headers[":status"]).toBe(401);
    expect(body).not.toContain("belay_");
  });

  it.each(["application/grpc", "application/grpc+proto", "application/grpc-web+proto"])(
    "tells a caller of an unknown method, by %s, that it is not implemented",
    async (type) => {
      const { headers, body } = await ask({
        ":method": "POST",
        ":path": "/openshell.v1.OpenShell/CreateProvider",
        "content-type": type,
      });
      expect(headers).toMatchObject({
        ":status": 200,
        "content-type": type,
        "grpc-status": "12",
        "grpc-message": "unknown method",
      });
      expect(body).toBe("");
    },
  );

  it("tells so to a caller by Connect", async () => {
    const { headers, body } = await ask({
      ":method": "POST",
      ":path": "/openshell.v1.OpenShell/CreateProvider",
      "content-type": "application/json",
    });
    expect(headers[":status"]).toBe(404);
    expect(JSON.parse(body)).toMatchObject({ code: "unimplemented" });
  });
});
