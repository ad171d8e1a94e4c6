// forward.test.ts: ports of the sandbox through our SSH server: both directions, their ends, refusals.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import type { ClientChannel } from "ssh2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExecBench } from "./support/exec-bench.ts";
import type { SshExecClient } from "./support/exec-bench.ts";
import { freePort } from "./support/free-port.ts";
import { TcpTarget } from "./support/tcp-target.ts";
import { until } from "./support/until.ts";

let bench: ExecBench;
let connection: SshExecClient;

beforeEach(async () => {
  bench = new ExecBench();
  connection = await bench.connect();
});

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

function forward(
  port: number,
  host = "127.0.0.1",
  { client }: SshExecClient = connection,
): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    client.forwardOut("127.0.0.1", 1, host, port, (error, channel) => {
      if (error) return reject(error);
      channel.on("error", () => {});
      resolve(channel);
    }),
  );
}

describe("a forward", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["localhost", "127.0.0.1"],
    ["::1", "::1"],
    ["localhost", "::1"],
  ])("to %s reaches a program that listens on %s", async (host, listensOn) => {
    await using target = await TcpTarget.start((socket) => socket.pipe(socket), listensOn);
    const channel = await forward(target.port, host);
    const answer = text(channel);
    channel.end("hello");
    expect(await answer).toBe("hello");
  });

  it("carries much both ways at once", async () => {
    await using target = await TcpTarget.start((socket) => socket.pipe(socket));
    const channel = await forward(target.port);
    const data = randomBytes(8 * 1024 * 1024);
    const answer = buffer(channel);
    channel.end(data);
    expect((await answer).equals(data)).toBe(true);
  });

  it("passes the client's end of input on, and goes on with the answer", async () => {
    await using target = await TcpTarget.start((socket) => {
      socket.resume();
      socket.once("end", () => socket.end("after your end"));
    });
    const channel = await forward(target.port);
    const answer = text(channel);
    channel.end("question");
    expect(await answer).toBe("after your end");
  });

  it("passes the target's end on, and goes on with the input", async () => {
    await using target = await TcpTarget.start((socket) => socket.end("greeting"));
    const channel = await forward(target.port);
    expect(await text(channel)).toBe("greeting");
    const received = text(await target.connection());
    channel.end("after your end");
    expect(await received).toBe("after your end");
  });

  it("is closed when both ends have come, and its place is free again", async () => {
    await using small = new ExecBench({ limits: { sshChannels: 1 } });
    await using target = await TcpTarget.start((socket) => socket.pipe(socket));
    const client = await small.connect();
    for (let round = 0; round < 3; round += 1) {
      const channel = await until("a place", () =>
        forward(target.port, "127.0.0.1", client).catch(() => undefined),
      );
      await expect(forward(target.port, "127.0.0.1", client)).rejects.toMatchObject({
        message: expect.stringContaining("too many channels"),
      });
      const closed = once(channel, "close");
      channel.resume().end();
      await closed;
    }
    expect(target.sockets).toHaveLength(3);
  });

  it("whose target does not read holds its client back, in bounded memory", async () => {
    await using target = await TcpTarget.start((socket) => socket.pause());
    const channel = await forward(target.port);
    const sent = { bytes: 0 };
    const chunk = Buffer.alloc(256 * 1024);
    const send = (): void => {
      channel.write(chunk, () => {
        sent.bytes += chunk.length;
        send();
      });
    };
    send();
    // The window, and what the kernel keeps for a socket: far from all that the client would send.
    await until("the window has filled", () => sent.bytes > 1024 * 1024);
    await until("it stands still", async () => {
      const before = sent.bytes;
      await bench.run("sleep 0.2");
      return sent.bytes === before;
    });
    expect(sent.bytes).toBeLessThan(32 * 1024 * 1024);
    channel.close();
  });

  it("whose target breaks is closed", async () => {
    await using target = await TcpTarget.start();
    const channel = await forward(target.port);
    const closed = once(channel, "close");
    channel.resume();
    (await target.connection()).resetAndDestroy();
    await expect(closed).resolves.toBeDefined();
    expect(connection.eof).toBe(false);
  });

  it("whose client closes it gives the target what was sent before", async () => {
    await using target = await TcpTarget.start();
    const channel = await forward(target.port);
    const socket = await target.connection();
    channel.write("last words");
    channel.close();
    expect(await text(socket)).toBe("last words");
  });

  it("whose client closes it ends in order for a target that was writing", async () => {
    await using small = new ExecBench({ limits: { sshChannels: 1 } });
    await using target = await TcpTarget.start((socket) => {
      const write = (): void => {
        socket.write(Buffer.alloc(64 * 1024), (failed) => failed ?? write());
      };
      write();
    });
    const client = await small.connect();
    const channel = await forward(target.port, "127.0.0.1", client);
    const socket = await target.connection();
    await until("the window is used up", async () => {
      const before = channel.readableLength;
      await bench.run("sleep 0.1");
      return before > 1024 * 1024 && channel.readableLength === before;
    });
    channel.write("last words");
    channel.close();
    expect(await text(socket)).toBe("last words");
    expect(socket.errored).toBe(null);
    socket.destroy();
    await until("its place is free again", () =>
      forward(target.port, "127.0.0.1", client).catch(() => undefined),
    );
  });

  it("whose client closes it does not wait for a target that never reads", async () => {
    await using hasty = new ExecBench({ limits: { tcpFlushMs: 50, sshChannels: 1 } });
    await using target = await TcpTarget.start((socket) => socket.pause());
    const client = await hasty.connect();
    const channel = await forward(target.port, "127.0.0.1", client);
    channel.write(Buffer.alloc(1024 * 1024));
    channel.close();
    const next = await until("its place is free again", () =>
      forward(target.port, "127.0.0.1", client).catch(() => undefined),
    );
    expect(next.writable).toBe(true);
  });

  it("whose relay breaks resets the target, which must not take half for all", async () => {
    await using target = await TcpTarget.start((socket) => socket.resume());
    const channel = await forward(target.port);
    channel.write("half");
    const socket = await target.connection();
    connection.pair.server.destroy(new Error("the relay broke"));
    await until("the target's connection has ended", () => socket.destroyed);
    expect(socket.errored).toMatchObject({ code: "ECONNRESET" });
  });
});

describe("a forward is refused", () => {
  it("where nothing listens", async () => {
    await expect(forward(await freePort())).rejects.toMatchObject({
      message: expect.stringContaining("nothing listens"),
      reason: 2,
    });
  });

  it.each(["10.0.0.1", "0.0.0.0", "example.com", ""])("beyond loopback: %j", async (host) => {
    await expect(forward(80, host)).rejects.toMatchObject({
      message: expect.stringContaining("host"),
      reason: 1,
    });
  });

  it("without a port", async () => {
    await expect(forward(0)).rejects.toThrow(/port must be/);
  });
});
