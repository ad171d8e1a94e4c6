// tcp-relays.test.ts: relays to TCP targets: reached or refused, bytes and ends both ways, and breaks.
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { RelayPipe } from "@belay/relay-core";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { carryTcp } from "../src/relays/carry-tcp.ts";
import { dialTcp } from "../src/relays/dial-tcp.ts";
import { RelaysBench, tcpTarget } from "./support/relays-bench.ts";
import { slowReader } from "./support/slow-reader.ts";
import { until } from "./support/until.ts";

const never = new AbortController().signal;
const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

async function readAll(pipe: RelayPipe): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of pipe.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** A port that nothing listens on, which was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("a TCP target", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["127.3.2.1", "127.3.2.1"],
    ["::1", "::1"],
    ["localhost", "127.0.0.1"],
    ["localhost", "::1"],
  ])("%s is reached, where it listens on %s", async (host, listensOn) => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.pipe(socket), listensOn);
    const { pipe } = await bench.open(target.port, host);
    pipe.write("hello");
    await until("the echo", () => pipe.readableLength === 5);
    expect((pipe.read() as Buffer).toString()).toBe("hello");
  });

  it.each([
    ["10.0.0.1", 80, "tcp target host must be loopback"],
    ["example.com", 80, "tcp target host must be loopback"],
    ["0.0.0.0", 80, "tcp target host must be loopback"],
    ["", 80, "tcp target host is required"],
    ["127.0.0.1", 0, "tcp target port must be between 1 and 65535"],
    ["127.0.0.1", 65_536, "tcp target port must be between 1 and 65535"],
  ])("%j port %d is refused, and it is said why", async (host, port, why) => {
    await using bench = await RelaysBench.start();
    expect(await bench.answer(bench.ask({ host, port }))).toBe(why);
    expect(bench.relays.channelIds).toEqual([]);
  });

  it.each(["127.0.0.1", "localhost"])(
    "%s where nothing listens is refused as such",
    async (host) => {
      await using bench = await RelaysBench.start();
      const port = await closedPort();
      expect(await bench.answer(bench.ask({ host, port }))).toBe(
        `tcp target refused the connection: nothing listens on port ${port}`,
      );
    },
  );

  it("that does not answer is given up at the limit", async () => {
    await using target = await tcpTarget();
    // Its answer is not seen before the event loop has turned, and the limit has passed before that.
    const atOnce = { now: () => 0, pollIo: () => Promise.resolve(), setTimer: fireAtOnce };
    const slow = new ManualClock();
    const dial = { limitMs: 5_000, signal: never };
    const dialing = dialTcp({ host: "127.0.0.1", port: target.port }, { ...dial, clock: atOnce });
    await expect(dialing).rejects.toMatchObject({
      kind: "relay_refused",
      message: "tcp target did not answer within 5000 ms",
    });
    // Connections are accepted in order: what became of that one is known when a later one has come.
    const later = await dialTcp({ host: "127.0.0.1", port: target.port }, { ...dial, clock: slow });
    await until("the later one", () =>
      target.sockets.some((socket) => socket.remotePort === later.localPort),
    );
    for (const socket of target.sockets.filter((one) => one.remotePort !== later.localPort)) {
      await until("the end of the one that was given up", () => {
        socket.resume();
        return socket.readableEnded || socket.destroyed;
      });
    }
    later.destroy();
  });

  it("beyond the limit of TCP relays is refused, while an SSH relay is not", async () => {
    await using bench = await RelaysBench.start({ tcpRelays: 2, execs: 1 });
    await using target = await tcpTarget();
    for (let count = 0; count < 2; count += 1) await bench.open(target.port);
    const third = bench.ask({ host: "127.0.0.1", port: target.port });
    expect(await bench.answer(third)).toBe("too many relays");
    expect(await bench.answer(bench.ask("ssh"))).toBeUndefined();
    expect(await bench.answer(bench.ask("ssh"))).toBe("too many relays");
  });

  it("is let go when the gateway closes the relay before it is reached", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget();
    const channelId = bench.ask({ host: "127.0.0.1", port: target.port });
    bench.relays.handle({ case: "relayClose", value: { channelId, reason: "test" } as never });
    const socket = await target.socket();
    await until("its end", () => socket.resume().readableEnded);
    expect(bench.answers.size).toBe(0);
  });
});

describe("a TCP relay", () => {
  it("passes the gateway's half-close on, and the target goes on sending", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => {
      const received: Buffer[] = [];
      socket.on("data", (chunk: Buffer) => received.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(received).toString()}`));
    });
    const { id, pipe } = await bench.open(target.port);
    pipe.write("all of it");
    bench.plane.halfClose(pipe);
    expect(await readAll(pipe)).toBe("got all of it");
    expect(bench.plane.endMarks.has(id)).toBe(true);
    await bench.relays.idle();
  });

  it("passes the target's half-close on, and the target goes on receiving", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.end("goodbye"));
    const { id, pipe } = await bench.open(target.port);
    expect(await readAll(pipe)).toBe("goodbye");
    expect(bench.plane.endMarks.has(id)).toBe(true);
    pipe.write("late");
    bench.plane.halfClose(pipe);
    const socket = await target.socket();
    const received: Buffer[] = [];
    for await (const chunk of socket) received.push(chunk as Buffer);
    expect(Buffer.concat(received).toString()).toBe("late");
  });

  it("lets its target go when the gateway, after its half-close, wants no more", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.resume());
    const { pipe } = await bench.open(target.port);
    bench.plane.halfClose(pipe);
    const socket = await target.socket();
    await until("the half-close", () => socket.readableEnded);
    expect(bench.relays.channelIds).toHaveLength(1);
    pipe.destroy(); // ends the response, in order
    await bench.relays.idle();
    expect(bench.takenBack.size).toBe(0);
  });

  it("is whole when its target has sent all and then takes no more", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.end("whole"));
    const { id, pipe } = await bench.open(target.port);
    await until("the target's end", () => bench.plane.endMarks.has(id));
    const socket = await target.socket();
    socket.destroy();
    await until("the target's close", () => socket.closed);
    // The first bytes find nobody there, the next ones hear of it.
    for (let count = 0; count < 20; count += 1) {
      pipe.write("late");
      await new Promise((resolve) => setImmediate(resolve));
    }
    bench.plane.halfClose(pipe);
    expect(await readAll(pipe)).toBe("whole");
    await bench.relays.idle();
    expect(bench.takenBack.size).toBe(0);
  });

  it("loses nothing of a large transfer with a slow reader, each way", async () => {
    await using bench = await RelaysBench.start();
    const data = randomBytes(6 * 1024 * 1024);
    const pace = { startAfterMs: 50, pauseEveryBytes: 1024 * 1024, pauseMs: 5 };
    await using target = await tcpTarget((socket) => socket.end(data));
    const { pipe } = await bench.open(target.port);
    pipe.write(data);
    bench.plane.halfClose(pipe);
    const [down, up] = await Promise.all([
      slowReader(pipe, pace),
      slowReader(await target.socket(), pace),
    ]);
    expect([sha256(down), sha256(up)]).toEqual([sha256(data), sha256(data)]);
  });

  it("stops the target while nobody reads the relay", async () => {
    await using bench = await RelaysBench.start();
    let written = 0;
    await using target = await tcpTarget((socket) => {
      const chunk = Buffer.alloc(64 * 1024);
      const more = () => {
        written += chunk.length;
        socket.write(chunk, () => written < 256 * 1024 * 1024 && more());
      };
      more();
    });
    await bench.open(target.port);
    let before = -1;
    await until("the target to stand still", async () => {
      const still = written === before;
      before = written;
      await new Promise((resolve) => setImmediate(resolve));
      return still && written > 0 && (await standsStill(() => written));
    });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  it("whose target breaks is taken back with the reason, and never ends as if complete", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget();
    const { id, pipe } = await bench.open(target.port);
    const socket = await target.socket();
    socket.write("half of");
    await until("what was sent before", () => pipe.readableLength === 7);
    socket.resetAndDestroy();
    await until("the reason", () => bench.takenBack.has(id));
    expect(bench.takenBack.get(id)).toBe("tcp target broke the connection");
    expect(bench.plane.endMarks.has(id)).toBe(false);
    expect(pipe.readableEnded || pipe.destroyed).toBe(false);
    pipe.destroy(new Error("as the gateway does"));
    await bench.relays.idle();
  });

  it("whose target broke is cut when the gateway does not end it", async () => {
    await using bench = await RelaysBench.start({ relayCloseMs: 20 });
    await using target = await tcpTarget();
    const { id, pipe } = await bench.open(target.port);
    (await target.socket()).resetAndDestroy();
    await bench.relays.idle();
    await until("its end at the gateway", () => pipe.destroyed);
    expect(bench.plane.endMarks.has(id)).toBe(false);
  });

  it("resets its target when it breaks: a cut transfer does not look complete", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.resume());
    const { pipe } = await bench.open(target.port);
    const socket = await target.socket();
    const failed = new Promise<Error>((resolve) => socket.once("error", resolve));
    pipe.write("half of");
    pipe.destroy(new Error("the client is gone"));
    expect(await failed).toMatchObject({ code: "ECONNRESET" });
  });

  it("whose target takes nothing more is cut at the limit", async () => {
    await using target = await tcpTarget();
    const clock = new ManualClock();
    const dial = { limitMs: 5_000, clock, signal: never };
    const socket = await dialTcp({ host: "127.0.0.1", port: target.port }, dial);
    const pipe = new RelayPipe();
    carryTcp(socket, pipe, { clock, flushMs: 5_000, onBroken: () => {} });
    socket.write(Buffer.alloc(32 * 1024 * 1024)); // more than the kernel holds
    pipe.destroy();
    await until("the relay's end", () => pipe.closed);
    await clock.advance(4_999);
    expect(socket.destroyed).toBe(false);
    await clock.advance(1);
    expect(socket.destroyed).toBe(true);
  });

  it("ends with its session", async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.resume());
    await bench.open(target.port);
    const socket = await target.socket();
    const failed = new Promise<Error>((resolve) => socket.once("error", resolve));
    bench.tasks.abort(new Error("session over"));
    expect(await failed).toMatchObject({ code: "ECONNRESET" });
    await bench.tasks.idle();
  });

  it("that ended both ways waits for the gateway to read it, but not beyond its session", async () => {
    await using bench = await RelaysBench.start();
    const data = randomBytes(3 * 1024 * 1024);
    await using target = await tcpTarget((socket) => {
      socket.resume();
      socket.end(data);
    });
    const { pipe } = await bench.open(target.port);
    bench.plane.halfClose(pipe);
    await until("the target's close", () => target.sockets[0]?.destroyed);
    const down = await slowReader(pipe, { startAfterMs: 50, pauseEveryBytes: 1e6, pauseMs: 5 });
    expect(sha256(down)).toBe(sha256(data));
    await bench.relays.idle();
  });

  it("is one of three hundred that open at once", { timeout: 60_000 }, async () => {
    await using bench = await RelaysBench.start();
    await using target = await tcpTarget((socket) => socket.pipe(socket));
    const all = await Promise.all(Array.from({ length: 300 }, () => bench.open(target.port)));
    await Promise.all(
      all.map(async ({ id, pipe }) => {
        pipe.write(id);
        bench.plane.halfClose(pipe);
        expect(await readAll(pipe)).toBe(id);
      }),
    );
    await bench.relays.idle();
  });
});

function fireAtOnce(_delayMs: number, fire: () => void) {
  fire();
  return { cancel() {} };
}

/** Whether a number stays the same for many turns of the event loop. */
async function standsStill(look: () => number): Promise<boolean> {
  const before = look();
  for (let turn = 0; turn < 2_000; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    if (look() !== before) return false;
  }
  return true;
}
