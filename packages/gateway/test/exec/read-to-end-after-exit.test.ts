import { describe, expect, it } from "vitest";
import { readScene } from "../support/read-scene.ts";
import { isSettled, until } from "@belay/relay-core/testing";

const MIB = 1024 * 1024;
const cut = { exit: { is: "exited", exitCode: 0 }, outputComplete: false };

describe("after an exit status that no close follows", () => {
  it("the streams are cut after 500 ms of silence", async () => {
    const { clock, channel, result } = readScene();
    channel.exits(0);
    await clock.advance(499);
    expect(await isSettled(result)).toBe(false);
    await clock.advance(1);
    await expect(result).resolves.toEqual(cut);
  });

  it("the silence counts from the last byte", async () => {
    const { clock, channel, result, text } = readScene();
    channel.exits(0);
    await clock.advance(400);
    channel.stdoutData("late");
    await clock.advance(499);
    expect(await isSettled(result)).toBe(false);
    await clock.advance(1);
    await expect(result).resolves.toEqual(cut);
    expect(text("stdout")).toBe("late");
  });

  it("a close within the wait makes the end complete, at once", async () => {
    const { clock, channel, result } = readScene();
    channel.exits(0);
    await clock.advance(499);
    channel.closes();
    await expect(result).resolves.toMatchObject({ outputComplete: true });
    expect(clock.pendingTimers).toBe(0);
  });

  it("a stream that goes on dripping is cut after the total time", async () => {
    const { clock, channel, result, chunks } = readScene();
    channel.exits(0);
    for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 400) {
      channel.stdoutData("drip");
      await clock.advance(400);
    }
    await expect(result).resolves.toEqual(cut);
    expect(chunks).toHaveLength(25);
  });

  it("a stream that never pauses is cut after the total time", async () => {
    const { channel, result, chunks } = readScene({
      onOutput: async (_chunk, clock) => {
        channel.stdoutData(Buffer.alloc(64 * 1024));
        await clock.advance(100);
      },
    });
    channel.exits(0);
    channel.stdoutData(Buffer.alloc(64 * 1024));
    await expect(result).resolves.toEqual(cut);
    expect(chunks).toHaveLength(100); // 10 s
  });

  it("a backstop that is switched off cuts nothing, however long it takes", async () => {
    const { clock, channel, result } = readScene({
      limits: { postExit: { quietMs: 0, totalMs: 10_000, ownBytes: 0 } },
    });
    channel.exits(0);
    await clock.advance(3_600_000);
    channel.stdoutData("x");
    await clock.advance(3_600_000);
    expect(await isSettled(result)).toBe(false);
    channel.closes();
    await expect(result).resolves.toMatchObject({ outputComplete: true });
  });
});

describe("after an exit status, a slow client", () => {
  it("does not use up the wait for the close", async () => {
    const { clock, channel, result, text } = readScene({
      onOutput: (_chunk, time) => time.advance(60_000),
    });
    channel.stdoutData("a");
    channel.exits(0);
    await clock.advance(0);
    channel.stderrData("b");
    channel.closes();
    await expect(result).resolves.toMatchObject({ outputComplete: true });
    expect([text("stdout"), text("stderr")]).toEqual(["a", "b"]);
  });

  it.each(["with", "without"])("gets all output that waits here, %s a close", async (close) => {
    // Both streams at their high-water mark and a window on top is what ssh2 may hold.
    const { clock, channel, result, chunks, text } = readScene({
      onOutput: (_chunk, time) => time.advance(1_000),
    });
    channel.stdoutData(Buffer.alloc(3 * MIB, "o"));
    channel.stderrData(Buffer.alloc(3 * MIB, "e"));
    channel.exits(0);
    if (close === "with") channel.closes();
    await until(() => chunks.length === 96);
    if (close === "without") {
      await clock.waitForTimers(1);
      await clock.advance(500);
    }
    await expect(result).resolves.toMatchObject({ outputComplete: close === "with" });
    expect(text("stdout")).toHaveLength(3 * MIB);
    expect(text("stderr")).toHaveLength(3 * MIB);
  });
});
