import { once } from "node:events";
import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { RelayPipe, defaultRelayPipeLimits } from "../src/index.ts";
import { bridgedPipes } from "./support/pipe-bridge.ts";
import {
  integerBetween,
  isSettled,
  randomBytes,
  seededRandom,
  seeds,
  settled,
} from "../src/testing/index.ts";
import { speakLikeSsh } from "./support/ssh-like.ts";

const small = { maxFrameBytes: 10, bufferBytes: 40 };
const bytes = (count: number, fill = 1) => Buffer.alloc(count, fill);

async function allFrames(pipe: RelayPipe): Promise<string[]> {
  const frames: string[] = [];
  for (let frame = await pipe.nextFrame(); frame; frame = await pipe.nextFrame()) {
    frames.push(frame.toString());
  }
  return frames;
}

/** Reads to the end; a plain `for await` would then destroy the pipe, its writing side too. */
async function readAll(pipe: RelayPipe): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of pipe.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("the frames of a RelayPipe", () => {
  it("join small writes", async () => {
    const pipe = new RelayPipe(small);
    for (const text of ["a", "bc", "def"]) pipe.write(text);
    pipe.end();
    await expect(allFrames(pipe)).resolves.toEqual(["abcdef"]);
  });

  it("join writes up to the largest frame, without tearing one apart", async () => {
    const pipe = new RelayPipe(small);
    for (const text of ["12345", "67890", "abcdef", "ghijk"]) pipe.write(text);
    pipe.end();
    await expect(allFrames(pipe)).resolves.toEqual(["1234567890", "abcdef", "ghijk"]);
  });

  it("split a write that is larger than a frame, and join its rest", async () => {
    const pipe = new RelayPipe(small);
    pipe.write("abcdefghijklmnopqrstuvwxyz");
    pipe.end("0123");
    await expect(allFrames(pipe)).resolves.toEqual(["abcdefghij", "klmnopqrst", "uvwxyz0123"]);
  });

  it("join what was written while the reader waited", async () => {
    const pipe = new RelayPipe(small);
    const frame = pipe.nextFrame();
    expect(await isSettled(frame)).toBe(false);
    pipe.write("ab");
    pipe.write("cd");
    expect((await frame)?.toString()).toBe("abcd");
  });

  it("are never empty", async () => {
    const pipe = new RelayPipe(small);
    pipe.write(Buffer.alloc(0));
    const frame = pipe.nextFrame();
    expect(await isSettled(frame)).toBe(false);
    pipe.write("a");
    expect((await frame)?.toString()).toBe("a");
    pipe.end(Buffer.alloc(0));
    await expect(pipe.nextFrame()).resolves.toBeUndefined();
  });

  it("are at most 64 KiB by default", async () => {
    const pipe = new RelayPipe();
    pipe.end(bytes(200_000));
    const sizes = [];
    for (let frame = await pipe.nextFrame(); frame; frame = await pipe.nextFrame()) {
      sizes.push(frame.byteLength);
    }
    expect(sizes).toEqual([65_536, 65_536, 65_536, 200_000 - 3 * 65_536]);
    expect(defaultRelayPipeLimits).toEqual({ maxFrameBytes: 65_536, bufferBytes: 262_144 });
  });

  it.each(seeds(60))(
    "carry each byte once, whatever the sizes and the pace (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const maxFrameBytes = integerBetween(1, 50, random);
      const pipe = new RelayPipe({ maxFrameBytes, bufferBytes: integerBetween(1, 200, random) });
      const sent = randomBytes(2_000, random);
      const writing = (async () => {
        for (let at = 0; at < sent.byteLength;) {
          const chunk = sent.subarray(at, at + integerBetween(0, 120, random));
          at += chunk.byteLength;
          if (!pipe.write(chunk) && random() < 0.8) await once(pipe, "drain");
          if (random() < 0.2) await settled();
        }
        pipe.end();
      })();
      const taken: Buffer[] = [];
      for (let frame = await pipe.nextFrame(); frame; frame = await pipe.nextFrame()) {
        expect(frame.byteLength).toBeLessThanOrEqual(maxFrameBytes);
        expect(frame.byteLength).toBeGreaterThan(0);
        taken.push(frame);
        if (random() < 0.2) await settled();
      }
      await writing;
      expect(Buffer.concat(taken).equals(sent)).toBe(true);
    },
  );
});

describe("the backpressure of a RelayPipe", () => {
  it("stops a writer whose bytes nobody takes, and lets it go on when they are taken", async () => {
    const pipe = new RelayPipe(small);
    let written = 0;
    do written += 5;
    while (pipe.write(bytes(5)) && written < 1_000);
    expect(written).toBeGreaterThanOrEqual(small.bufferBytes);
    expect(written).toBeLessThanOrEqual(2 * small.bufferBytes);

    let drained = false;
    pipe.once("drain", () => (drained = true));
    await settled();
    expect(drained).toBe(false);
    while (!drained) {
      await pipe.nextFrame();
      await settled();
    }
    expect(pipe.writableNeedDrain).toBe(false);
  });

  it("holds back a write until there is room for it, and no longer", async () => {
    const pipe = new RelayPipe(small);
    pipe.write(bytes(35));
    let accepted = false;
    pipe.write(bytes(10), () => (accepted = true));
    await settled();
    expect(accepted).toBe(false);
    await pipe.nextFrame(); // 35 bytes are left
    await settled();
    expect(accepted).toBe(true);
  });

  it("stops the peer while the reader is slow, and lets it go on when there is room", async () => {
    const pipe = new RelayPipe(small);
    await pipe.receive(bytes(39));
    const received = pipe.receive(bytes(10));
    expect(await isSettled(received)).toBe(false);
    expect(pipe.readableLength).toBe(49);
    pipe.read(49);
    await expect(received).resolves.toBeUndefined();
  });

  it("does not stop the peer while the reader keeps up", async () => {
    const pipe = new RelayPipe(small);
    pipe.resume();
    for (let time = 0; time < 100; time += 1) await pipe.receive(bytes(1_000));
    expect(pipe.bytesReceived).toBe(100_000);
  });

  it("stops the reader's pause at the peer, not in memory", async () => {
    const pipe = new RelayPipe(small);
    let delivered = 0;
    pipe.on("data", (data: Buffer) => (delivered += data.byteLength));
    await pipe.receive(bytes(10));
    pipe.pause();
    let given = 10;
    const giving = (async () => {
      for (; given < 1_000; given += 10) await pipe.receive(bytes(10));
    })();
    await settled();
    expect(given).toBeLessThanOrEqual(small.bufferBytes + 10);
    pipe.resume();
    await giving;
    await settled();
    expect(delivered).toBe(1_000);
  });

  it("crosses a bridge: a writer stops when the reader at the other end does", async () => {
    const { near, far, ended } = bridgedPipes(small);
    let written = 0;
    const writing = (async () => {
      for (; written < 10_000; written += 5) {
        if (!near.write(bytes(5))) await once(near, "drain");
      }
      near.end();
    })();
    for (let turn = 0; turn < 50; turn += 1) await settled();
    expect(written).toBeLessThanOrEqual(4 * small.bufferBytes);
    const reading = readAll(far);
    far.end();
    near.resume();
    await writing;
    expect((await reading).byteLength).toBe(10_000);
    await ended;
  });
});

describe("the half-close of a RelayPipe", () => {
  it("ends the frames after the last byte, and reading goes on", async () => {
    const pipe = new RelayPipe(small);
    pipe.end("last words");
    await expect(allFrames(pipe)).resolves.toEqual(["last words"]);
    await finished(pipe, { readable: false });
    await pipe.receive(Buffer.from("the answer"));
    expect((pipe.read() as Buffer).toString()).toBe("the answer");
    expect(pipe.destroyed).toBe(false);
  });

  it("ends the reading after the last byte, and writing goes on", async () => {
    const pipe = new RelayPipe(small);
    await pipe.receive(Buffer.from("last words"));
    pipe.receiveEnd();
    expect((await readAll(pipe)).toString()).toBe("last words");
    expect(pipe.destroyed).toBe(false);
    pipe.end("the answer");
    await expect(allFrames(pipe)).resolves.toEqual(["the answer"]);
  });

  it("wakes a reader of frames that is parked", async () => {
    const pipe = new RelayPipe(small);
    const frame = pipe.nextFrame();
    expect(await isSettled(frame)).toBe(false);
    pipe.end();
    await expect(frame).resolves.toBeUndefined();
  });

  it("gives no frame however often it is asked after the end", async () => {
    const pipe = new RelayPipe(small);
    pipe.end();
    for (let time = 0; time < 3; time += 1) {
      const frame = pipe.nextFrame();
      expect(await isSettled(frame)).toBe(true);
      await expect(frame).resolves.toBeUndefined();
    }
  });

  it("gives no frame when it is asked again at once after the end", async () => {
    const pipe = new RelayPipe(small);
    pipe.end();
    const both = (async () => [await pipe.nextFrame(), await pipe.nextFrame()])();
    expect(await isSettled(both)).toBe(true);
    await expect(both).resolves.toEqual([undefined, undefined]);
  });

  it("is told apart from a break by whether all was taken", async () => {
    const [ended, broken] = [new RelayPipe(small), new RelayPipe(small)];
    for (const pipe of [ended, broken]) pipe.end("all");
    broken.destroy();
    expect(await ended.nextFrame()).toBeDefined();
    expect(ended.endTaken).toBe(false);
    for (const pipe of [ended, broken]) expect(await pipe.nextFrame()).toBeUndefined();
    expect([ended.endTaken, broken.endTaken]).toEqual([true, false]);
  });

  it("is not finished before its last byte was taken", async () => {
    const pipe = new RelayPipe(small);
    const done = finished(pipe, { readable: false });
    pipe.end("abc");
    expect(await isSettled(done)).toBe(false);
    await pipe.nextFrame();
    expect(await isSettled(done)).toBe(false);
    await pipe.nextFrame();
    await expect(done).resolves.toBeUndefined();
  });

  it("closes the pipe once both ways have ended", async () => {
    const pipe = new RelayPipe(small);
    const closed = once(pipe, "close");
    pipe.resume();
    pipe.receiveEnd();
    pipe.end();
    await pipe.nextFrame();
    await closed;
    expect(pipe.destroyed).toBe(true);
    expect(pipe.errored).toBeNull();
  });

  it("is heard twice without harm", async () => {
    const pipe = new RelayPipe(small);
    pipe.receiveEnd();
    pipe.receiveEnd();
    expect((await readAll(pipe)).byteLength).toBe(0);
    expect(pipe.errored).toBeNull();
  });

  it("crosses a bridge each way by itself", async () => {
    const { near, far, ended } = bridgedPipes(small);
    near.end("question");
    expect((await readAll(far)).toString()).toBe("question");
    far.write("a long answer, ");
    far.end("with an end");
    expect((await readAll(near)).toString()).toBe("a long answer, with an end");
    await ended;
  });
});

describe("destroying a RelayPipe", () => {
  it("wakes a reader of frames that is parked", async () => {
    const pipe = new RelayPipe(small);
    const frame = pipe.nextFrame();
    expect(await isSettled(frame)).toBe(false);
    pipe.destroy(new Error("relay lost"));
    await expect(frame).resolves.toBeUndefined();
  });

  it("wakes a peer that waits for room", async () => {
    const pipe = new RelayPipe(small);
    const received = pipe.receive(bytes(100));
    expect(await isSettled(received)).toBe(false);
    pipe.destroy();
    await expect(received).resolves.toBeUndefined();
  });

  it.each([[undefined], [new Error("relay lost")]])(
    "calls back a write that was held back, with the error if there is one: %s",
    async (error) => {
      const pipe = new RelayPipe(small);
      const written = new Promise((resolve) => pipe.write(bytes(100), resolve));
      expect(await isSettled(written)).toBe(false);
      pipe.destroy(error);
      expect(await isSettled(written)).toBe(true);
      expect((await written) ?? undefined).toBe(error);
      expect(pipe.errored ?? undefined).toBe(error);
    },
  );

  it.each([[undefined], [new Error("relay lost")]])("emits close, with %s", async (error) => {
    const pipe = new RelayPipe(small);
    const errors: unknown[] = [];
    pipe.on("error", (reason) => errors.push(reason));
    const closed = new Promise<void>((resolve) => pipe.once("close", resolve));
    pipe.write(bytes(100)); // held back
    pipe.end();
    pipe.destroy(error);
    await closed;
    expect(pipe.errored ?? undefined).toBe(error);
    expect(errors).toEqual(error ? [error] : []);
  });

  it("keeps the first error and needs no listener for it", async () => {
    const pipe = new RelayPipe(small);
    const first = new Error("first");
    pipe.destroy(first);
    pipe.destroy(new Error("second"));
    await settled();
    expect(pipe.errored).toBe(first);
  });

  it("drops the bytes that nobody has taken", async () => {
    const pipe = new RelayPipe(small);
    pipe.write("lost");
    pipe.destroy();
    await expect(pipe.nextFrame()).resolves.toBeUndefined();
  });

  it("lets the peer send on into nothing, which still counts as a sign of life", async () => {
    const pipe = new RelayPipe(small);
    pipe.destroy();
    await pipe.receive(bytes(1_000));
    pipe.receiveEnd();
    expect(pipe.bytesReceived).toBe(1_000);
    expect(pipe.readableLength).toBe(0);
    expect(pipe.errored).toBeNull();
  });

  it("is what happens when the peer sends on after its end, and the peer is not held", async () => {
    const pipe = new RelayPipe(small);
    pipe.receiveEnd();
    const received = pipe.receive(bytes(1));
    expect(await isSettled(received)).toBe(true);
    expect(pipe.errored).toMatchObject({ code: "ERR_STREAM_PUSH_AFTER_EOF" });
  });

  it("crosses a bridge with its error and ends it", async () => {
    const { near, far, ended } = bridgedPipes(small);
    near.write("ab");
    const lost = new Error("relay lost");
    near.destroy(lost);
    await ended.catch(() => {});
    expect(far.destroyed).toBe(true);
    expect(far.errored).toBe(lost);
  });
});

describe("the reading side of a RelayPipe", () => {
  it("counts each byte of the peer, those included that nobody reads", async () => {
    const pipe = new RelayPipe(small);
    await pipe.receive(bytes(3));
    void pipe.receive(bytes(100));
    expect(pipe.bytesReceived).toBe(103);
  });

  it("reads a part of a larger buffer and nothing beside it", async () => {
    const pipe = new RelayPipe(small);
    await pipe.receive(Uint8Array.from([9, 1, 2, 9]).subarray(1, 3));
    expect([...(pipe.read() as Buffer)]).toEqual([1, 2]);
  });

  it("is not ended by an empty frame", async () => {
    const pipe = new RelayPipe(small);
    await pipe.receive(new Uint8Array());
    await pipe.receive(Buffer.from("on"));
    expect((pipe.read() as Buffer).toString()).toBe("on");
    expect(pipe.readableEnded).toBe(false);
  });

  it("hears nothing within the call that writes, when it is bridged", async () => {
    const { near, far } = bridgedPipes();
    let inWrite = false;
    const heardInWrite: boolean[] = [];
    far.on("data", () => heardInWrite.push(inWrite));
    await settled();
    for (let time = 0; time < 3; time += 1) {
      inWrite = true;
      near.write("hello");
      inWrite = false;
      await settled();
    }
    expect(heardInWrite).toEqual([false, false, false]);
  });
});

describe("two bridged RelayPipes", () => {
  it.each(seeds(25))("carry a conversation as ssh2 leads it (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const limits = {
      maxFrameBytes: integerBetween(1, 300, random),
      bufferBytes: integerBetween(1, 1_000, random),
    };
    const pause = () => (random() < 0.05 ? settled() : Promise.resolve());
    const { near, far, ended } = bridgedPipes(limits, pause);
    const script = Array.from({ length: 40 }, () =>
      randomBytes(integerBetween(0, 400, random), random),
    );
    const echoed = (message: Buffer) => Buffer.from(message.toReversed());

    const server = speakLikeSsh(far, echoed);
    const client = speakLikeSsh(near, () => {
      const next = script[client.heard.length + 2]; // three are on the way at any time
      if (next === undefined && client.heard.length === script.length) near.end();
      return next;
    });
    far.once("end", () => far.end());
    for (const message of script.slice(0, 3)) client.say(message);

    await Promise.all([finished(near), finished(far), ended]);
    expect(server.heard).toEqual(script);
    expect(client.heard).toEqual(script.map(echoed));
  });

  it.each(seeds(25))("carry both ways at once, each byte once (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const limits = {
      maxFrameBytes: integerBetween(1, 5_000, random),
      bufferBytes: integerBetween(1, 20_000, random),
    };
    const { near, far, ended } = bridgedPipes(limits);
    const send = async (pipe: RelayPipe, sent: Buffer) => {
      for (let at = 0; at < sent.byteLength;) {
        const chunk = sent.subarray(at, at + integerBetween(1, 8_000, random));
        at += chunk.byteLength;
        if (!pipe.write(chunk)) await once(pipe, "drain");
      }
      pipe.end();
    };
    const [there, back] = [randomBytes(50_000, random), randomBytes(30_000, random)];
    const [atFar, atNear] = await Promise.all([
      readAll(far),
      readAll(near),
      send(near, there),
      send(far, back),
      ended,
    ]);
    expect(atFar.equals(there)).toBe(true);
    expect(atNear.equals(back)).toBe(true);
  });

  it.each(seeds(25))(
    "leave nobody parked when one is destroyed in mid-flow (seed %i)",
    async (seed) => {
      const random = seededRandom(seed);
      const { near, far, ended } = bridgedPipes({ maxFrameBytes: 50, bufferBytes: 100 });
      const sending = (async () => {
        while (!near.destroyed) {
          if (near.writableNeedDrain) await settled();
          else near.write(bytes(integerBetween(1, 90, random)));
        }
      })();
      const reading = readAll(far).catch((reason: unknown) => reason);
      for (let turn = integerBetween(0, 20, random); turn > 0; turn -= 1) await settled();
      const lost = new Error("relay lost");
      const [victim, other] = random() < 0.5 ? [near, far] : [far, near];
      const closed = Promise.all(
        [once(near, "close"), once(far, "close")].map((c) => c.catch(() => {})),
      );
      victim.destroy(lost);
      await Promise.all([closed, sending, reading, ended]);
      expect(victim.errored).toBe(lost);
      expect(other.destroyed).toBe(true);
    },
  );
});
