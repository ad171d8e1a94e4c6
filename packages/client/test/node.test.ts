import { execFile } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { Pause } from "../src/index.ts";
import { connectToGateway } from "../src/node/index.ts";
import { FakeGateway } from "../src/testing/index.ts";
import type { FakeExec } from "../src/testing/index.ts";
import { serveHttp2 } from "./support/http2-gateway.ts";
import { numbers, quickLimits, receive } from "./support/scene.ts";

const talk = (exec: FakeExec) => {
  exec.write("stdout", numbers(200_000));
  exec.end();
};
const sleep = () => {};

describe.each(["grpc", "connect"] as const)("a client in Node over %s", (protocol) => {
  it("runs a command, with its token", async () => {
    const gateway = new FakeGateway({ talk });
    await using server = await serveHttp2(gateway);
    using client = connectToGateway({ url: server.url, protocol, token: () => "secret" });
    const { stdout, verified } = await client.exec("demo", ["talk"]);
    expect(Buffer.from(stdout).toString()).toBe(numbers(200_000));
    expect(verified).toBe(true);
    expect(server.connections).toBe(1);
    expect(new Set(server.headers.map((each) => each.authorization))).toEqual(
      new Set(["Bearer secret"]),
    );
  });

  it("goes on over a new connection when the old one is reset", async () => {
    const gateway = new FakeGateway({ sleep });
    await using server = await serveHttp2(gateway);
    using client = connectToGateway({ url: server.url, protocol, limits: quickLimits });
    const exec = await client.start("demo", ["sleep"]);
    const received = receive(exec.follow());
    for (let n = 0; n < 5; n += 1) {
      gateway.lastExec.write("stdout", `${n} `);
      while (gateway.follows <= n) await new Promise((resolve) => setImmediate(resolve));
      server.cut();
    }
    gateway.lastExec.end();
    expect(await received).toMatchObject({ stdout: "0 1 2 3 4 ", last: { verified: true } });
    expect(server.connections).toBe(6);
  });

  it("goes on over a new connection when the path dies in silence", async () => {
    const gateway = new FakeGateway({ sleep });
    await using server = await serveHttp2(gateway);
    using client = connectToGateway({
      url: server.url,
      protocol,
      limits: quickLimits,
      keepalive: { probeEveryMs: 40, deadAfterMs: 80 },
    });
    const exec = await client.start("demo", ["sleep"]);
    const received = receive(exec.follow());
    while (gateway.follows === 0) await new Promise((resolve) => setImmediate(resolve));
    server.freeze();
    while (gateway.follows === 1) await new Promise((resolve) => setImmediate(resolve));
    gateway.lastExec.end();
    expect(await received).toMatchObject({ last: { is: "exit" } });
  });

  it("makes new calls elsewhere after a GOAWAY, and finishes those that run", async () => {
    const gateway = new FakeGateway({ sleep });
    await using server = await serveHttp2(gateway);
    using client = connectToGateway({ url: server.url, protocol, limits: quickLimits });
    const exec = await client.start("demo", ["sleep"]);
    const received = receive(exec.follow());
    while (gateway.follows === 0) await new Promise((resolve) => setImmediate(resolve));
    server.goAway();
    while (server.connections === 1) await client.sandboxes();
    gateway.lastExec.end();
    expect(await received).toMatchObject({ last: { is: "exit" } });
    expect(gateway.follows).toBe(1);
  });
});

describe("a path that dies in silence under a start", () => {
  it("is told as a lost way, over which the command may have been started", async () => {
    await using server = await serveHttp2(new FakeGateway({ sleep }));
    const pauses: Pause[] = [];
    using client = connectToGateway({
      url: server.url,
      limits: quickLimits,
      keepalive: { probeEveryMs: 40, deadAfterMs: 80 },
      onPause: (pause) => pauses.push(pause),
    });
    await client.sandboxes();
    server.freeze();
    await client.start({ sandboxId: "sandbox-1" }, ["sleep"]);
    expect(pauses[0]?.error).toMatchObject({
      kind: "session_lost",
      outcome: "unknown",
      retry: "follow",
      message: expect.stringContaining("no byte for 80 ms") as string,
    });
  });
});

describe("a gateway that is not there", () => {
  it("is told as such: nothing ran", async () => {
    const limits = { ...quickLimits, startWindowMs: 50 };
    using client = connectToGateway({ url: "http://127.0.0.1:9", limits });
    await expect(client.exec({ sandboxId: "a" }, ["true"])).rejects.toMatchObject({
      kind: "session_lost",
      outcome: "not_started",
      message: expect.stringContaining("no connection to http://127.0.0.1:9") as string,
    });
  });

  it("is noticed when it accepts and never speaks HTTP/2", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => void sockets.add(socket));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const limits = { ...quickLimits, startWindowMs: 50 };
    using client = connectToGateway({ url: `http://127.0.0.1:${port}`, limits, connectMs: 50 });
    await expect(client.sandboxes()).rejects.toMatchObject({ outcome: "not_started" });
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

it("does not keep a process running that has nothing more to do", async () => {
  await using server = await serveHttp2(new FakeGateway({ talk }));
  const script = `
    import { connectToGateway } from "@belay/client/node";
    const client = connectToGateway({ url: ${JSON.stringify(server.url)} });
    const { exit } = await client.exec("demo", ["talk"]);
    console.log(exit.exitCode);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { cwd: import.meta.dirname, timeout: 20_000 },
  );
  expect(stdout).toBe("0\n");
});
