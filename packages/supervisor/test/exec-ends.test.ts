// exec-ends.test.ts: how a command is ended: by signals, by its client, by a broken relay, by our stop.
import { setTimeout as aWhile } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { BelayError } from "@belay/protocol";
import { ExecBench } from "./support/exec-bench.ts";
import type { BenchOptions } from "./support/exec-bench.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { until } from "./support/until.ts";

let bench: ExecBench;

afterEach(async () => {
  await bench[Symbol.asyncDispose]();
});

function open(options?: BenchOptions): ExecBench {
  bench = new ExecBench(options);
  return bench;
}

/** Starts a command whose processes all run this `sleep`, and waits until `count` of them do. */
async function running(command: (sleep: string) => string, count: number) {
  const mark = uniqueSleep();
  const connection = await bench.connect();
  const exec = await connection.exec(command(`sleep ${mark}`));
  exec.channel.end();
  const finished = exec.finished();
  const live = () => pidsOf(`sleep\0${mark}\0`);
  await until(`${count} sleeps run`, () => live().length === count);
  return { connection, exec, finished, live };
}

/** Ignores TERM, children included. */
const stubborn = (sleep: string) => `trap '' TERM; ${sleep} & ${sleep}`;
/** One that has left the group, one whose parent has gone, one that is still there. */
const scattered = (sleep: string) => `setsid ${sleep} & (setsid ${sleep} &) ; ${sleep}`;

describe("a signal of the client", () => {
  it.each(["TERM", "INT", "HUP", "USR1", "KILL"])("%s reaches the group", async (name) => {
    open();
    const { exec, finished, live } = await running((sleep) => `${sleep} | ${sleep}`, 2);
    exec.signal(name);
    await expect(finished).resolves.toMatchObject({ signal: `SIG${name}` });
    expect(live()).toEqual([]);
  });

  it("is answered with the exit only when the whole group has ended", async () => {
    open({ limits: { terminationGraceMs: 5_000 } });
    const { exec, finished, live } = await running(
      (sleep) => `(trap '' TERM; ${sleep}) & exec ${sleep}`,
      2,
    );
    exec.signal("TERM");
    await until("the leader has gone", () => live().length === 1);
    const first = await Promise.race([finished, aWhile(300, "held")]);
    expect(first).toBe("held");
    exec.signal("KILL");
    await expect(finished).resolves.toMatchObject({ signal: "SIGTERM" });
    expect(live()).toEqual([]);
  });

  it("is answered in bounded time although somebody ignores it", async () => {
    open({ limits: { terminationGraceMs: 100, killWaitMs: 200 } });
    const { exec, finished, live } = await running(
      (sleep) => `(trap '' TERM; ${sleep}) & exec ${sleep}`,
      2,
    );
    exec.signal("TERM");
    await expect(finished).resolves.toMatchObject({ signal: "SIGTERM" });
    expect(bench.log.events("exec.signal_outlived")).toHaveLength(1);
    for (const pid of live()) process.kill(pid, "SIGKILL");
  });

  it("KILL finds also those who have left the group", async () => {
    open();
    const { exec, finished, live } = await running(scattered, 3);
    exec.signal("KILL");
    await expect(finished).resolves.toMatchObject({ signal: "SIGKILL" });
    expect(live()).toEqual([]);
  });

  it("that nobody knows, or that ends nobody, changes nothing", async () => {
    open();
    const connection = await bench.connect();
    const exec = await connection.exec("read -r _; sleep 30 >/dev/null 2>&1 & exit 3");
    const finished = exec.finished();
    exec.signal("NONSENSE");
    exec.signal("WINCH");
    exec.channel.end("go\n");
    await expect(finished).resolves.toMatchObject({ code: 3 });
    expect(bench.log.events("exec.signal_outlived")).toEqual([]);
  });
});

describe("a client that closes", () => {
  it.each([
    ["its channel", "channel"],
    ["its connection", "connection"],
    ["its relay, in order", "relay"],
  ])("%s cancels the command", async (_name, what) => {
    open();
    const { connection, exec, live } = await running((sleep) => `${sleep} & ${sleep}`, 2);
    if (what === "channel") exec.channel.close();
    else if (what === "connection") connection.client.end();
    else connection.pair.server.receiveEnd();
    await until("all have ended", () => live().length === 0);
    await until("the exec is over", () => bench.execs.size === 0);
    expect(bench.log.events("exec.terminating")[0]?.fields).toMatchObject({ reason: "canceled" });
    expect(bench.log.events("exec.ended")[0]?.fields).toMatchObject({ reported: false });
  });

  it("its relay without a word of SSH has it closed from our side too", async () => {
    open();
    const { connection } = await running((sleep) => sleep, 1);
    const { server } = connection.pair;
    server.receiveEnd();
    expect(await until("our half has ended", () => server.writableEnded)).toBe(true);
  });

  it("says so with DISCONNECT, even if the relay breaks before its end", async () => {
    open();
    const { connection, live } = await running((sleep) => sleep, 1);
    const { server } = connection.pair;
    server.receiveEnd = () => {};
    connection.client.end();
    await until("DISCONNECT has come", () => server.writableEnded);
    server.destroy(new BelayError("relay_lost", "the relay broke"));
    await until("all have ended", () => live().length === 0);
    expect(bench.log.events("exec.terminating")[0]?.fields).toMatchObject({ reason: "canceled" });
  });

  it("takes also those that ignore TERM, and those that have left the group", async () => {
    open();
    const first = await running(stubborn, 2);
    const second = await running(scattered, 3);
    first.exec.channel.close();
    second.exec.channel.close();
    const live = () => first.live().length + second.live().length;
    expect(await until("all have ended", () => live() === 0)).toBe(true);
  });

  it("lets a command end in its own way within the grace", async () => {
    open({ limits: { terminationGraceMs: 5_000 } });
    const mark = uniqueSleep();
    const connection = await bench.connect();
    const exec = await connection.exec(
      `trap 'sleep 0.2; exit 9' TERM; echo ready; while :; do sleep 0.02; : ${mark}; done`,
    );
    await new Promise<void>((resolve) => exec.channel.once("data", () => resolve()));
    exec.channel.close();
    const [line] = await until("the exec is over", () => {
      const lines = bench.log.events("exec.ended");
      return lines.length > 0 && lines;
    });
    expect(line?.fields).toMatchObject({ end: 9, ending: "canceled" });
  });

  it("after the exit, leaves alone what the command left running", async () => {
    open();
    const connection = await bench.connect();
    const mark = uniqueSleep();
    const exec = await connection.exec(`sleep ${mark} & exit 0`);
    await until("it has exited", () => pidsOf(`sleep\0${mark}\0`).length === 1);
    await exec.finished();
    connection.client.end();
    await until("the exec is over", () => bench.execs.size === 0);
    expect(bench.log.events("exec.terminating")).toEqual([]);
    expect(pidsOf(`sleep\0${mark}\0`)).toHaveLength(1);
    process.kill(pidsOf(`sleep\0${mark}\0`)[0]!, "SIGKILL");
  });
});

describe("a relay that breaks", () => {
  const broken = new BelayError("relay_lost", "the relay broke");

  it("ends the command at once where no orphan window is given", async () => {
    open({ limits: { orphanWindowMs: 0 } });
    const { connection, live } = await running((sleep) => sleep, 1);
    connection.pair.server.destroy(broken);
    await until("all have ended", () => live().length === 0);
    expect(bench.log.events("exec.terminating")[0]?.fields).toMatchObject({ reason: "orphaned" });
  });

  it("ends the command at the end of the window, not before", async () => {
    open({ limits: { orphanWindowMs: 400 } });
    const { connection, live } = await running((sleep) => sleep, 1);
    const brokenAtMs = performance.now();
    connection.pair.server.destroy(broken);
    await until("all have ended", () => live().length === 0);
    expect(performance.now() - brokenAtMs).toBeGreaterThan(390);
  });

  it("never ends it with `keep`, and its output blocks nobody", async () => {
    open({ limits: { orphanWindowMs: Number.POSITIVE_INFINITY } });
    const connection = await bench.connect();
    const exec = await connection.exec("echo ready; head -c 3000000 /dev/zero; exit 5");
    exec.channel.pause();
    connection.pair.server.destroy(broken);
    const [line] = await until("it has ended by itself", () => {
      const lines = bench.log.events("exec.ended");
      return lines.length > 0 && lines;
    });
    expect(line?.fields).toMatchObject({ end: 5, reported: false });
    expect(line?.fields["ending"]).toBeUndefined();
  });

  it("is not an end of input: half an upload is not taken for a whole one", async () => {
    open({ limits: { orphanWindowMs: 300 } });
    const connection = await bench.connect();
    const exec = await connection.exec("cat >/dev/null; exit 0");
    exec.channel.write("half");
    connection.pair.server.destroy(broken);
    const [line] = await until("it has been ended", () => {
      const lines = bench.log.events("exec.ended");
      return lines.length > 0 && lines;
    });
    expect(line?.fields).toMatchObject({ end: "SIGTERM", ending: "orphaned" });
  });
});

describe("a stop of the supervisor", () => {
  it("ends what runs, and reports nothing of it", async () => {
    open();
    const { exec, finished, live } = await running(stubborn, 2);
    bench.execs.stopAll();
    await bench.execs.idle();
    expect(live()).toEqual([]);
    expect(bench.log.events("exec.ended")[0]?.fields).toMatchObject({
      reported: false,
      ending: "stopped",
    });
    exec.channel.destroy();
    await expect(finished).resolves.toMatchObject({ code: undefined, signal: undefined });
  });

  it("takes orphans along", async () => {
    open({ limits: { orphanWindowMs: Number.POSITIVE_INFINITY } });
    const { connection, live } = await running(scattered, 3);
    connection.pair.server.destroy(new BelayError("relay_lost", "the relay broke"));
    await until("it is an orphan", () => bench.log.events("exec.client_lost").length === 1);
    bench.execs.stopAll();
    await bench.execs.idle();
    expect(live()).toEqual([]);
  });

  it("starts nothing new", async () => {
    open();
    const connection = await bench.connect();
    bench.draining.abort();
    await expect(connection.exec("true")).rejects.toThrow(/exec/i);
    expect(bench.log.events("exec.start_failed")[0]?.fields["err"]).toMatchObject({
      kind: "supervisor_stopping",
    });
  });

  it("at once kills everything at once", async () => {
    open();
    const { live } = await running((sleep) => `trap '' TERM; setsid ${sleep} & ${sleep}`, 2);
    bench.execs.killAllNow();
    expect(await until("all have ended", () => live().length === 0, 1_000)).toBe(true);
  });
});
