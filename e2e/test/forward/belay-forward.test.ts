// `belay forward` against a whole deployment: a port of the sandbox, here.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BelayProcess } from "../../src/belay-process.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll, within } from "../../src/wait.ts";
import { builtCli } from "../support/built-cli.ts";
import { TcpTarget, closedPort } from "../support/tcp-target.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment();
});
afterAll(() => deployment[Symbol.asyncDispose]());

async function forwardTo(remote: number) {
  const args = ["forward", "--gateway", deployment.clientUrl, "sandbox-1", `0:${remote}`];
  const belay = new BelayProcess({ name: "belay forward", script: builtCli, args });
  const port = await poll("its port", () => /^127\.0\.0\.1:(\d+)\n/.exec(belay.stdout)?.[1]);
  const dial = (): Socket =>
    connect({ host: "127.0.0.1", port: Number(port), allowHalfOpen: true });
  return { belay, dial, [Symbol.asyncDispose]: () => belay[Symbol.asyncDispose]() };
}

const all = (socket: Socket) => within("the end of a connection", 20_000, buffer(socket));

describe("belay forward", () => {
  it.each(["127.0.0.1", "::1"])(
    "leads to %s, many connections at once, each whole",
    async (host) => {
      await using target = await TcpTarget.start((socket) => socket.pipe(socket), host);
      await using forward = await forwardTo(target.port);
      const answers = Array.from({ length: 40 }, async () => {
        const sent = randomBytes(300_000);
        const socket = forward.dial();
        socket.end(sent); // the echo ends when it has heard the end
        return (await all(socket)).equals(sent);
      });
      expect(new Set(await Promise.all(answers))).toEqual(new Set([true]));
    },
  );

  it("ends a connection when its target does", async () => {
    await using target = await TcpTarget.start((socket) => void socket.resume().end("bye"));
    await using forward = await forwardTo(target.port);
    const socket = forward.dial();
    expect((await all(socket)).toString()).toBe("bye");
    socket.end();
    expect(await target.ended()).toBe("end");
  });

  it("resets a connection that the target resets, or refuses, and says why", async () => {
    await using target = await TcpTarget.start((socket) => void socket.write("half of"));
    await using forward = await forwardTo(target.port);
    const socket = forward.dial();
    await new Promise((resolve) => socket.once("data", resolve));
    (await target.connection()).socket.resetAndDestroy();
    await expect(all(socket)).rejects.toMatchObject({ code: "ECONNRESET" });

    await using nowhere = await forwardTo(await closedPort());
    await expect(all(nowhere.dial())).rejects.toMatchObject({ code: "ECONNRESET" });
    await poll("why", () => nowhere.belay.tail().includes("nothing listens on port"));
  });

  it("resets the target's connection when ours is reset", async () => {
    await using target = await TcpTarget.start((socket) => void socket.resume().write("x"));
    await using forward = await forwardTo(target.port);
    const socket = forward.dial();
    await new Promise((resolve) => socket.once("data", resolve));
    socket.resetAndDestroy();
    expect(await target.ended()).toBe("ECONNRESET");
  });
});
