import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { execScene } from "../support/exec-scene.ts";
import type { FakeCommand, SupervisorScript } from "../support/fake-supervisor.ts";
import { isSettled, settled, until } from "@belay/relay-core/testing";

const canceled = () => new BelayError("canceled", "the caller canceled or is gone");

/** A command that ends at the signal of this name, and at no other. */
function endsAt(fatal: string): SupervisorScript {
  return {
    onSignal(name, { channel }) {
      if (name !== fatal) return;
      channel.exit(name as never, false, "");
      channel.end();
    },
  };
}

async function runningExec(script: SupervisorScript, timeoutSeconds = 0) {
  const scene = execScene(script);
  const exec = scene.exec({ timeoutSeconds });
  const command: FakeCommand = await exec.started();
  await until(() => scene.lines.some(({ event }) => event === "exec.started"));
  return { scene, exec, command };
}

describe("the timeout of an exec", () => {
  it("asks, and reports 124 when the command is gone", async () => {
    const { scene, exec, command } = await runningExec(endsAt("TERM"), 30);
    await scene.clock.advance(29_999);
    expect(command.signals).toEqual([]);
    await scene.clock.advance(1);
    expect(await exec.ended).toBeUndefined();
    expect(command.signals).toEqual(["TERM"]);
    expect(exec.exit()).toMatchObject({ exitCode: 124, reason: "timed_out", signal: "" });
  });

  it("reports nothing until the end of a command that ignores TERM is certain", async () => {
    const { scene, exec, command } = await runningExec({}, 1);
    await scene.clock.advance(1_000);
    await scene.clock.advance(5_000);
    await until(() => command.signals.length === 2);
    expect(command.signals).toEqual(["TERM", "KILL"]);
    await scene.clock.advance(9_000);
    expect(await isSettled(exec.ended)).toBe(false);
    command.channel.exit("KILL" as never, false, "");
    command.channel.end();
    expect(await exec.ended).toBeUndefined();
    expect(exec.exit()).toMatchObject({ exitCode: 124 });
  });

  it("is no exit code while nobody confirms that the command is gone", async () => {
    const { scene, exec } = await runningExec({}, 1);
    await scene.clock.advance(16_000);
    expect(await exec.ended).toMatchObject({
      kind: "termination_unconfirmed",
      outcome: "running",
      retry: "follow",
    });
    expect(exec.events).toEqual([]);
  });

  it("gives what the command still says while it ends", async () => {
    const { scene, exec } = await runningExec(
      {
        onSignal(_name, { channel }) {
          channel.write("cleaning up");
          channel.exit(0);
          channel.end();
        },
      },
      1,
    );
    await scene.clock.advance(1_000);
    expect(await exec.ended).toBeUndefined();
    expect(exec.text("stdout")).toBe("cleaning up");
    expect(exec.exit()).toMatchObject({ exitCode: 124 });
  });

  it("has no effect on a command whose status has arrived", async () => {
    const { scene, exec, command } = await runningExec({}, 1);
    await scene.clock.advance(900);
    command.channel.exit(0);
    await settled();
    await scene.clock.advance(200); // the timeout passes within the post-exit wait
    command.channel.end();
    expect(await exec.ended).toBeUndefined();
    expect(command.signals).toEqual([]);
    expect(exec.exit()).toMatchObject({ exitCode: 0, reason: "exited" });
  });

  it("of the longest kind does not overflow", async () => {
    const { scene, exec, command } = await runningExec({}, 0xff_ff_ff_ff);
    await scene.clock.advance(1_000);
    expect(command.signals).toEqual([]);
    command.channel.exit(0);
    command.channel.end();
    expect(await exec.ended).toBeUndefined();
  });
});

describe("a client that cancels", () => {
  it("hears so at once, and the command is asked, then forced", async () => {
    const { scene, exec, command } = await runningExec(endsAt("KILL"));
    exec.abort.abort(canceled());
    expect(await exec.ended).toMatchObject({ kind: "canceled", outcome: "unknown" });
    expect(await isSettled(exec.finished)).toBe(false);
    expect(command.signals).toEqual(["TERM"]);
    await scene.clock.advance(5_000);
    await exec.finished;
    expect(command.signals).toEqual(["TERM", "KILL"]);
    expect(scene.deps.relays.size).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("does not keep the gateway waiting for a command that will not end", async () => {
    const { scene, exec } = await runningExec({});
    exec.abort.abort(canceled());
    await exec.ended;
    await scene.clock.advance(15_000);
    await exec.finished;
    expect(scene.deps.relays.size).toBe(0);
  });

  it("ends a command that floods, though nobody reads the flood any more", async () => {
    const { exec, command } = await runningExec(endsAt("TERM"));
    command.channel.write(Buffer.alloc(1024 * 1024));
    await until(() => exec.events.length > 2);
    exec.abort.abort(canceled());
    await exec.ended;
    await exec.finished;
    expect(command.signals).toEqual(["TERM"]);
  });

  it("after the end says that the command completed", async () => {
    const { exec, command } = await runningExec({});
    command.channel.exit(0);
    await settled();
    exec.abort.abort(canceled());
    expect(await exec.ended).toMatchObject({ kind: "canceled", outcome: "completed" });
  });
});

describe("a gateway that stops", () => {
  it("says that the command still runs, and leaves its end to the supervisor", async () => {
    const { scene, exec, command } = await runningExec({});
    exec.abort.abort(new BelayError("gateway_stopping", "the gateway stopped"));
    expect(await exec.ended).toMatchObject({ kind: "gateway_stopping", outcome: "running" });
    await exec.finished;
    expect(command.signals).toEqual([]);
    expect(scene.deps.relays.size).toBe(0);
  });
});
