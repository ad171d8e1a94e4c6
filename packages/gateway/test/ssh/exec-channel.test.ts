import { ManualClock, settled } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { ExecChannel } from "../../src/ssh/exec-channel.ts";
import { FakeChannel } from "../support/fake-channel.ts";
import { never } from "../support/test-limits.ts";

function channelScene(maxChunkBytes = 1_000) {
  const fake = new FakeChannel();
  const channel = new ExecChannel(fake.asClientChannel, { maxChunkBytes });
  const clock = new ManualClock();
  const changed = (limitMs = 1_000) => channel.changed({ signal: never, clock, limitMs });
  return { fake, channel, clock, changed };
}

describe("ExecChannel", () => {
  it.each<[string, (fake: FakeChannel) => void]>([
    ["output", (fake) => fake.stdoutData("x")],
    ["output on stderr", (fake) => fake.stderrData("x")],
    ["the exit", (fake) => fake.exits(0)],
    ["the close", (fake) => fake.closes()],
    ["an error", (fake) => fake.emit("error", new Error("broken"))],
  ])("wakes its reader at %s", async (_what, act) => {
    const { fake, channel, clock, changed } = channelScene();
    expect(channel.take()).toBeUndefined();
    const waiting = changed();
    act(fake);
    await settled();
    channel.take();
    expect(await waiting).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it("says so when nothing changes within the limit", async () => {
    const { clock, changed } = channelScene();
    const waiting = changed(500);
    await clock.advance(500);
    expect(await waiting).toBe(false);
  });

  it("knows how much waits to be taken", async () => {
    const { fake, channel } = channelScene(1_000);
    fake.stdoutData(Buffer.alloc(2_500));
    fake.stderrData(Buffer.alloc(10));
    expect(channel.unreadBytes).toBe(2_510);
    expect(channel.take()?.data.byteLength).toBe(1_000);
    expect(channel.unreadBytes).toBe(1_510);
    while (channel.take());
    expect(channel.unreadBytes).toBe(0);
  });

  it("lets the streams take turns", () => {
    const { fake, channel } = channelScene(10);
    const taken: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      fake.stdoutData("o");
      fake.stderrData("e");
      taken.push(channel.take()!.stream);
    }
    expect(taken).toEqual(["stdout", "stderr", "stdout", "stderr"]);
  });

  it("keeps the first status that it hears", () => {
    const { fake, channel } = channelScene();
    expect(channel.exit).toBeUndefined();
    fake.dies("SIGTERM");
    expect(channel.exit).toEqual({ is: "signaled", signal: "TERM" });
  });
});
