import { describe, expect, it } from "vitest";
import type { FakeChannel } from "../support/fake-channel.ts";
import { readScene } from "../support/read-scene.ts";
import { isSettled, settled } from "@belay/relay-core/testing";

const steps = {
  out: (channel: FakeChannel) => channel.stdoutData("out"),
  err: (channel: FakeChannel) => channel.stderrData("err"),
  exit: (channel: FakeChannel) => channel.exits(7),
  eof: (channel: FakeChannel) => channel.eof(),
  close: (channel: FakeChannel) => channel.closes(),
};
type Step = keyof typeof steps;

/** All that RFC 4254 allows a server that reports a status: EOF and CLOSE may each be left out. */
const goodEnds: Step[][] = [
  ["out", "err", "exit", "eof", "close"],
  ["out", "err", "eof", "exit", "close"],
  ["out", "err", "exit", "close"],
  ["exit", "out", "err", "eof", "close"],
  ["exit", "out", "err", "close"],
  ["out", "exit", "err", "eof", "close"],
  ["out", "err", "exit", "eof"],
  ["out", "err", "eof", "exit"],
];

describe("the end of a command", () => {
  it.each(goodEnds)("is complete after %s %s %s %s %s", async (...order) => {
    const { channel, result, text } = readScene();
    for (const step of order) {
      if (!step) continue;
      steps[step](channel);
      await settled();
    }
    await expect(result).resolves.toEqual({
      exit: { is: "exited", exitCode: 7 },
      outputComplete: true,
    });
    expect([text("stdout"), text("stderr")]).toEqual(["out", "err"]);
  });

  it.each(goodEnds)("is complete when %s %s %s %s %s come in one breath", async (...order) => {
    const { channel, result, text } = readScene();
    for (const step of order) if (step) steps[step](channel);
    await expect(result).resolves.toMatchObject({ outputComplete: true });
    expect([text("stdout"), text("stderr")]).toEqual(["out", "err"]);
  });

  it.each([[["close"]], [["eof", "close"]], [["out", "eof", "close"]], [["out", "close"]]] as [
    Step[],
  ][])("is unknown after %s without a status", async (order) => {
    const { channel, result } = readScene();
    for (const step of order) steps[step](channel);
    await expect(result).rejects.toMatchObject({
      kind: "relay_lost",
      message: "exec relay closed before the command reported an exit status",
      outcome: "unknown",
    });
  });

  it("is not there yet when both streams have ended without a status", async () => {
    const { channel, result } = readScene();
    channel.eof();
    expect(await isSettled(result)).toBe(false);
    channel.exits(0);
    await expect(result).resolves.toMatchObject({ exit: { is: "exited", exitCode: 0 } });
  });

  it("gives the output that came before the relay was lost, then the loss", async () => {
    const { channel, result, text } = readScene();
    channel.stdoutData("half a li");
    channel.closes();
    await expect(result).rejects.toMatchObject({ kind: "relay_lost" });
    expect(text("stdout")).toBe("half a li");
  });

  it("names the signal that ended the process, without SIG", async () => {
    const { channel, result } = readScene();
    channel.dies("SIGSEGV");
    channel.closes();
    await expect(result).resolves.toEqual({
      exit: { is: "signaled", signal: "SEGV" },
      outputComplete: true,
    });
  });

  it("is waited for for ever while the command is silent", async () => {
    const { clock, channel, result } = readScene();
    await clock.advance(48 * 3_600_000);
    expect(await isSettled(result)).toBe(false);
    expect(clock.pendingTimers).toBe(0);
    channel.exits(0);
    channel.closes();
    await expect(result).resolves.toMatchObject({ outputComplete: true });
  });

  it("is left alone at the signal's abort, with the signal's reason", async () => {
    const { abort, result } = readScene();
    await settled();
    abort.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
  });
});
