import { create } from "@bufbuild/protobuf";
import { ExecSpecSchema } from "@belay/protocol";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import type { BelayClient, ExecHandle, Pause } from "../src/index.ts";
import { lost } from "../src/testing/index.ts";
import type { FakeExec, FakeGateway } from "../src/testing/index.ts";
import { failureOf, numbers, receive, scene } from "./support/scene.ts";

const out = numbers(60);
const err = numbers(33);

/** An exec that has printed both and ended with 3. */
function recorded({ gateway }: { gateway: FakeGateway }): FakeExec {
  gateway.pieceBytes = 10;
  const exec = gateway.run("exec-1", create(ExecSpecSchema, { command: ["recorded"] }));
  exec.write("stdout", out);
  exec.write("stderr", err);
  exec.exit = undefined;
  exec.end({ exitCode: 3 });
  return exec;
}

function attach({ client, gateway }: { client: BelayClient; gateway: FakeGateway }): ExecHandle {
  return client.attach(gateway.sandboxId, "exec-1");
}

/** info, six and four pieces, exit. */
const RECORDED_EVENTS = 12;

describe("following an exec", () => {
  it("gives each output from its start, then the exit, verified", async () => {
    const s = scene();
    recorded(s);
    const received = await receive(attach(s).follow());
    expect(received).toMatchObject({ stdout: out, stderr: err });
    expect(received.last).toMatchObject({ is: "exit", verified: true, exit: { exitCode: 3 } });
    expect(s.gateway.follows).toBe(1);
  });

  it.each(Array.from({ length: RECORDED_EVENTS - 1 }, (_, event) => event))(
    "gives each byte once when the stream is cut after its event %i, each time",
    async (cutAt) => {
      const s = scene();
      recorded(s);
      // Each call gets one event further than it could start: an event 0 is the info.
      s.gateway.faults = {
        onEvent: ({ event }) => (event === Math.max(1, cutAt) ? "cut" : undefined),
      };
      const received = await receive(attach(s).follow());
      expect(received).toMatchObject({ stdout: out, stderr: err });
      expect(received.last).toMatchObject({ is: "exit", verified: true });
      expect(s.gateway.follows).toBeGreaterThan(1);
    },
  );

  it("takes up again at the offsets reached, not at the start", async () => {
    const s = scene();
    recorded(s);
    const sent: number[] = [];
    s.gateway.faults = {
      onEvent: ({ call, event, message }) => {
        if (message.payload.case === "output") sent.push(message.payload.value.data.byteLength);
        return call === 0 && event === 5 ? "cut" : undefined;
      },
    };
    await receive(attach(s).follow());
    expect(sent.reduce((sum, bytes) => sum + bytes)).toBe(out.length + err.length);
  });

  it("leaves out what a gateway sends again", async () => {
    const s = scene();
    recorded(s);
    s.gateway.faults = {
      repeatBytes: 7,
      onEvent: ({ call, event }) => (event === 4 && call < 6 ? "cut" : undefined),
    };
    const received = await receive(attach(s).follow());
    expect(received).toMatchObject({ stdout: out, stderr: err });
    expect(received.last).toMatchObject({ verified: true });
  });

  it("goes on when a stream ends without an exit", async () => {
    const s = scene();
    recorded(s);
    // Without an error too: a proxy may end a stream in order.
    s.gateway.faults = {
      onEvent: ({ call, event }) => (call === 0 && event === 3 ? "end" : undefined),
    };
    const received = await receive(attach(s).follow());
    expect(received).toMatchObject({ stdout: out, stderr: err });
  });

  it("gives nothing twice when the exit itself is lost", async () => {
    const s = scene();
    recorded(s);
    let lostExits = 0;
    s.gateway.faults = {
      onEvent: ({ message }) => {
        if (message.payload.case !== "exit" || lostExits === 3) return undefined;
        lostExits += 1;
        return "lose";
      },
    };
    const received = await receive(attach(s).follow());
    expect(received).toMatchObject({ stdout: out, stderr: err });
    expect(received.events.filter(({ is }) => is === "exit")).toHaveLength(1);
    expect(lostExits).toBe(3);
  });

  it("begins later where it is asked to, and says that it could not verify", async () => {
    const s = scene();
    recorded(s);
    const received = await receive(attach(s).follow({ stdoutOffset: 50, stderrOffset: 33 }));
    expect(received).toMatchObject({ stdout: out.slice(50), stderr: "" });
    expect(received.last).toMatchObject({ is: "exit", verified: false });
  });

  it("tells what is no longer kept, and that it could not verify", async () => {
    const s = scene();
    recorded(s).drop("stdout", 25);
    const received = await receive(attach(s).follow());
    expect(received.events[0]).toEqual({
      is: "dropped",
      stream: "stdout",
      fromOffset: 0,
      toOffset: 25,
    });
    expect(received).toMatchObject({ stdout: out.slice(25), stderr: err });
    expect(received.last).toMatchObject({ is: "exit", verified: false });
  });

  it("ends after what there is, where it is not to wait", async () => {
    const s = scene({ recorded: () => {} });
    s.gateway.run("exec-1", create(ExecSpecSchema, { command: ["recorded"] })).write("stdout", "a");
    const received = await receive(attach(s).follow({ noWait: true }));
    expect(received).toMatchObject({ stdout: "a", last: { is: "end_of_log" } });
  });

  it("fails at once when there is no such exec", async () => {
    const s = scene();
    await expect(receive(attach(s).follow())).rejects.toMatchObject({
      kind: "exec_not_found",
      outcome: "unknown",
      ids: { execId: "exec-1" },
    });
    expect(s.gateway.follows).toBe(1);
  });

  it("only detaches at an abort", async () => {
    const s = scene({ recorded: () => {} });
    const exec = s.gateway.run("exec-1", create(ExecSpecSchema, { command: ["recorded"] }));
    exec.write("stdout", "a");
    const abort = new AbortController();
    const follow = attach(s).follow({ signal: abort.signal });
    await follow.next();
    const next = follow.next();
    abort.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
    expect(exec.exit).toBeUndefined();
    while (exec.followers > 0) await new Promise((resolve) => setImmediate(resolve));
  });
});

describe("output that is not what the process wrote", () => {
  it("is an error when a byte was changed on its way", async () => {
    const s = scene();
    recorded(s);
    s.gateway.faults = {
      onEvent: ({ event, message }) => {
        if (event === 3 && message.payload.case === "output") message.payload.value.data[0]! ^= 1;
        return undefined;
      },
    };
    await expect(receive(attach(s).follow())).rejects.toMatchObject({
      kind: "output_mismatch",
      outcome: "completed",
      retry: "follow",
      ids: { execId: "exec-1" },
    });
  });

  it("is an error when a piece is missing in the middle", async () => {
    const s = scene();
    recorded(s);
    s.gateway.faults = { onEvent: ({ event }) => (event === 3 ? "drop" : undefined) };
    await expect(receive(attach(s).follow())).rejects.toMatchObject({ kind: "output_mismatch" });
  });

  it("is an error when the last piece is missing, of a late follow too", async () => {
    const s = scene();
    recorded(s);
    s.gateway.faults = {
      onEvent: ({ message }) =>
        message.payload.case === "output" && message.payload.value.offset === 55n
          ? "drop"
          : undefined,
    };
    await expect(receive(attach(s).follow({ stdoutOffset: 5 }))).rejects.toMatchObject({
      kind: "output_mismatch",
      message: expect.stringContaining("of 60 bytes") as string,
    });
  });
});

describe("a path that is dead", () => {
  const limits = {
    keepaliveIntervalMs: 1_000,
    keepaliveMissed: 3,
    resumeWindowMs: 20_000,
    backoff: { minMs: 100, maxMs: 1_000 },
  };

  it("is noticed by its silence, and the exec taken up again", async () => {
    const clock = new ManualClock();
    const s = scene({}, { clock, limits });
    recorded(s);
    s.gateway.faults = {
      onEvent: ({ call, event }) => (call === 0 && event === 4 ? "silent" : undefined),
    };
    const received = receive(attach(s).follow());
    await clock.waitForTimers(1);
    await clock.advance(2_900);
    expect(s.gateway.follows).toBe(1);
    await clock.advance(400);
    expect(s.gateway.follows).toBe(2);
    expect(await received).toMatchObject({ stdout: out, stderr: err, last: { verified: true } });
    expect(clock.pendingTimers).toBe(0);
  });

  it("is not suspected while keepalives come", async () => {
    const clock = new ManualClock();
    const s = scene({ recorded: () => {} }, { clock, limits });
    const exec = s.gateway.run("exec-1", create(ExecSpecSchema, { command: ["recorded"] }));
    const received = receive(attach(s).follow());
    await clock.waitForTimers(1);
    for (let n = 0; n < 10; n += 1) {
      await clock.advance(1_000);
      s.gateway.keepalive();
    }
    await clock.advance(0);
    exec.end();
    await clock.advance(0);
    expect((await received).last).toMatchObject({ is: "exit" });
    expect(s.gateway.follows).toBe(1);
  });

  it("is not suspected while the reader takes its time", async () => {
    const clock = new ManualClock();
    const s = scene({}, { clock, limits });
    recorded(s);
    const follow = attach(s).follow();
    await follow.next();
    await clock.advance(60_000);
    const rest = await receive(follow);
    expect(rest.last).toMatchObject({ is: "exit", verified: true });
    expect(s.gateway.follows).toBe(1);
  });

  it("is given up at the end of the window, with what is known", async () => {
    const clock = new ManualClock();
    const pauses: Pause[] = [];
    const s = scene({}, { clock, limits, onPause: (pause) => pauses.push(pause) });
    recorded(s);
    s.gateway.faults = {
      before: () => (s.gateway.follows > 1 ? lost() : undefined),
      onEvent: ({ event }) => (event === 4 ? "cut" : undefined),
    };
    const follow = attach(s).follow();
    await follow.next();
    const failed = failureOf(receive(follow));
    await clock.advance(25_000);
    expect(await failed).toMatchObject({
      kind: "resume_window_ended",
      outcome: "unknown",
      retry: "follow",
      ids: { sandboxId: s.gateway.sandboxId, execId: "exec-1" },
      cause: { kind: "gateway_stopping" },
    });
    expect(pauses[0]).toMatchObject({ failures: 1, error: { kind: "gateway_stopping" } });
    expect(clock.now()).toBe(25_000);
  });

  it("is given up sooner when the exec was never reached", async () => {
    const clock = new ManualClock();
    const s = scene({}, { clock, limits: { ...limits, startWindowMs: 2_000 } });
    s.gateway.faults = { before: () => lost() };
    let endedAtMs = 0;
    const failed = failureOf(receive(attach(s).follow()).finally(() => (endedAtMs = clock.now())));
    await clock.advance(25_000);
    expect(await failed).toMatchObject({ kind: "resume_window_ended" });
    expect(endedAtMs).toBeLessThanOrEqual(2_000);
  });
});
