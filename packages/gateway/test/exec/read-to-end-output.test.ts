import { describe, expect, it } from "vitest";
import { readScene } from "../support/read-scene.ts";
import { integerBetween, seededRandom, settled } from "@belay/relay-core/testing";

describe("the output of a command", () => {
  it.each([1, 2, 3, 4, 5])("comes byte for byte, in order per stream (seed %i)", async (seed) => {
    const random = seededRandom(seed);
    const { channel, result, text } = readScene();
    const sent = { stdout: "", stderr: "" };
    for (let round = 0; round < 60; round += 1) {
      const size = integerBetween(1, 30_000, random);
      const data = Buffer.alloc(size, round).toString("latin1");
      const stream = random() < 0.5 ? "stdout" : "stderr";
      sent[stream] += data;
      if (stream === "stdout") channel.stdoutData(Buffer.from(data, "latin1"));
      else channel.stderrData(Buffer.from(data, "latin1"));
      if (random() < 0.3) await settled();
    }
    channel.exits(0);
    channel.closes();
    await expect(result).resolves.toMatchObject({ outputComplete: true });
    expect(text("stdout") === sent.stdout).toBe(true);
    expect(text("stderr") === sent.stderr).toBe(true);
  });

  it("comes in pieces that fit a message", async () => {
    const { channel, result, chunks, text } = readScene({ limits: { outputChunkBytes: 1_000 } });
    channel.stdoutData(Buffer.alloc(4_500, "a"));
    channel.exits(0);
    channel.closes();
    await result;
    expect(chunks.map(({ data }) => data.byteLength)).toEqual([1_000, 1_000, 1_000, 1_000, 500]);
    expect(text("stdout")).toBe("a".repeat(4_500));
  });

  it("is not read while the client takes the piece before", async () => {
    const taken = Promise.withResolvers<void>();
    const { channel, chunks, result } = readScene({ onOutput: () => taken.promise });
    channel.stdoutData("one");
    await settled();
    channel.stdoutData("two");
    await settled();
    expect(chunks).toHaveLength(1);
    expect(channel.readableLength).toBe(3);
    taken.resolve();
    channel.exits(0);
    channel.closes();
    await result;
    expect(chunks).toHaveLength(2);
  });

  it("of one stream is not hidden by a flood on the other", async () => {
    const { channel, chunks, abort } = readScene({
      onOutput: async ({ stream }) => {
        if (stream === "stdout") channel.stdoutData("flood");
        if (chunks.length > 20) await new Promise(() => {});
      },
    });
    channel.stdoutData("flood");
    channel.stderrData("warning");
    await settled();
    expect(chunks.slice(0, 3).map(({ stream }) => stream)).toContain("stderr");
    abort.abort(new Error("over"));
  });

  it("that the client does not want ends the reading with the client's reason", async () => {
    const { channel, result } = readScene({
      onOutput: () => Promise.reject(new Error("client is gone")),
    });
    channel.stdoutData("x");
    await expect(result).rejects.toThrow("client is gone");
  });
});
