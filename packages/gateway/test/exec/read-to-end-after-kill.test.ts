import { describe, expect, it } from "vitest";
import { readScene } from "../support/read-scene.ts";
import { isSettled } from "@belay/relay-core/testing";

const limits = { terminationGraceMs: 5_000, killWaitMs: 10_000 };
const unconfirmed = {
  kind: "termination_unconfirmed",
  message: "the command was killed, its end was not confirmed within 10000 ms",
  outcome: "running",
};

describe("after KILL", () => {
  it("an end that nobody confirms is reported as unconfirmed within the kill wait", async () => {
    const { clock, termination, result, signals } = readScene({ limits });
    termination.begin("timed_out");
    await clock.advance(14_999);
    expect(await isSettled(result)).toBe(false);
    await clock.advance(1);
    await expect(result).rejects.toMatchObject(unconfirmed);
    expect(signals).toEqual(["TERM", "KILL"]);
  });

  it("the exit within the kill wait is the end", async () => {
    const { clock, channel, termination, result } = readScene({ limits });
    termination.begin("timed_out");
    await clock.advance(14_999);
    channel.dies("SIGKILL");
    channel.closes();
    await expect(result).resolves.toEqual({
      exit: { is: "signaled", signal: "KILL" },
      outputComplete: true,
    });
  });

  it("the wait is not prolonged by output", async () => {
    const { clock, channel, termination, result } = readScene({ limits });
    termination.begin("canceled");
    await clock.advance(5_000);
    for (let second = 0; second < 10; second += 1) {
      channel.stdoutData("still here");
      await clock.advance(1_000);
    }
    await expect(result).rejects.toMatchObject(unconfirmed);
  });

  it("a flood that never pauses does not keep the exec for ever", async () => {
    const { clock, channel, termination, result } = readScene({
      limits,
      onOutput: async (_chunk, time) => {
        channel.stdoutData(Buffer.alloc(64 * 1024));
        await time.advance(100);
      },
    });
    termination.begin("timed_out");
    channel.stdoutData(Buffer.alloc(64 * 1024));
    await expect(result).rejects.toMatchObject(unconfirmed);
    expect(clock.now()).toBeGreaterThanOrEqual(15_000);
    expect(clock.now()).toBeLessThan(30_000);
  });

  it("a slow client does not make a confirmed end an unconfirmed one", async () => {
    const { channel, termination, result, text } = readScene({
      limits,
      onOutput: (_chunk, time) => time.advance(20_000),
    });
    termination.begin("timed_out");
    channel.stdoutData("one");
    channel.stderrData("two");
    channel.dies("SIGKILL");
    channel.closes();
    await expect(result).resolves.toMatchObject({ exit: { signal: "KILL" } });
    expect(text("stdout") + text("stderr")).toBe("onetwo");
  });

  it("before KILL a command that ignores TERM is not bounded by the kill wait", async () => {
    const { clock, termination, result } = readScene({
      limits: { terminationGraceMs: 60_000, killWaitMs: 10_000 },
    });
    termination.begin("canceled");
    await clock.advance(59_999);
    expect(await isSettled(result)).toBe(false);
  });
});
