import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { resetSocket } from "../src/relays/reset-socket.ts";
import { TcpTarget } from "./support/tcp-target.ts";
import { until } from "./support/until.ts";

async function connectTo(target: TcpTarget): Promise<Socket> {
  const socket = connect({ port: target.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

describe("resetSocket", () => {
  it("tells the peer that not all has come", async () => {
    await using target = await TcpTarget.start((socket) => socket.resume());
    const socket = await connectTo(target);
    const peer = await target.connection();
    resetSocket(socket);
    await until("the peer has heard", () => peer.destroyed);
    expect(peer.errored).toMatchObject({ code: "ECONNRESET" });
  });

  it("closes a socket whose end is on its way", async () => {
    await using target = await TcpTarget.start();
    const socket = await connectTo(target);
    await target.connection();
    let isClosed = false;
    socket.once("close", () => (isClosed = true));
    socket.end();
    process.nextTick(resetSocket, socket);
    expect(await until("it has closed", () => isClosed)).toBe(true);
  });
});
