import { BelayError } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { execScene } from "../support/exec-scene.ts";
import type { ExecScene, RunningExec } from "../support/exec-scene.ts";
import type { FakeCommand } from "../support/fake-supervisor.ts";
import { settled, until } from "@belay/relay-core/testing";

const lost = {
  kind: "relay_lost",
  message: "exec relay closed before the command reported an exit status",
  outcome: "unknown",
  retry: "follow",
};

interface Running {
  scene: ExecScene;
  exec: RunningExec;
  command: FakeCommand;
}

/** A command that runs and has said something. */
async function running(): Promise<Running> {
  const scene = execScene();
  const exec = scene.exec();
  const command = await exec.started();
  command.channel.write("so far");
  await until(() => exec.text("stdout") === "so far", "its output has come");
  return { scene, exec, command };
}

describe("an exec whose command runs", () => {
  it.each<[string, (running: Running) => void]>([
    [
      "the session is lost",
      ({ scene }) => scene.supervisor.session.end(new BelayError("session_lost", "gone")),
    ],
    [
      "the relay's stream is lost",
      ({ command }) => command.relay.fail(new BelayError("relay_dropped", "stream lost")),
    ],
    ["the supervisor ends the relay", ({ command }) => command.pipe.end()],
    ["the server says goodbye", ({ command }) => command.connection.end()],
    ["the channel closes without a status", ({ command }) => command.channel.end()],
    ["the relay turns to noise", ({ command }) => void command.relay.pipe.push(Buffer.alloc(4096))],
  ])("fails at once when %s", async (_what, act) => {
    const scene = await running();
    act(scene);
    expect(await scene.exec.ended).toMatchObject(lost);
    await scene.exec.finished;
    expect(scene.exec.text("stdout")).toBe("so far");
    expect(scene.scene.deps.relays.size).toBe(0);
    expect(scene.scene.clock.pendingTimers).toBe(0);
  });

  it("fails with the supervisor's reason when that takes the relay back", async () => {
    const { scene, exec, command } = await running();
    const { channelId } = command.relay;
    scene.deps.relays.closedBySupervisor(channelId, "draining", scene.supervisor.session);
    expect(await exec.ended).toMatchObject({
      kind: "supervisor_stopping",
      message: "draining",
      outcome: "unknown",
      ids: { execId: "exec-1", sandboxId: "sb-1", channelId },
    });
  });

  it("fails within the SSH keepalive when the server is wedged", async () => {
    const { scene, exec, command } = await running();
    wedge(command);
    await scene.clock.advance(44_000);
    await settled();
    expect(scene.deps.relays.size).toBe(1);
    await scene.clock.advance(4_000);
    expect(await exec.ended).toMatchObject({ kind: "relay_lost", outcome: "unknown" });
  });

  it("keeps the exit that came before the relay was lost", async () => {
    const { scene, exec, command } = await running();
    command.channel.exit(5);
    await settled();
    scene.supervisor.session.end(new BelayError("session_lost", "gone"));
    expect(await exec.ended).toBeUndefined();
    expect(exec.exit()).toMatchObject({ exitCode: 5, reason: "exited" });
  });

  it("ends with the exit when the close never comes", async () => {
    const { scene, exec, command } = await running();
    command.channel.exit(5);
    await settled();
    await scene.clock.advance(500);
    expect(await exec.ended).toBeUndefined();
    expect(exec.exit()).toMatchObject({ exitCode: 5, outputIncomplete: true });
  });

  it("fails alone: another sandbox's session is not touched by its end", async () => {
    const { scene, exec, command } = await running();
    const other = scene.exec();
    const otherCommand = await other.started();
    command.relay.fail(new BelayError("relay_dropped", "stream lost"));
    expect(await exec.ended).toMatchObject(lost);
    otherCommand.channel.exit(0);
    otherCommand.channel.end();
    expect(await other.ended).toBeUndefined();
  });
});

/** From now on nothing that the gateway says reaches the server. */
function wedge({ pipe }: FakeCommand): void {
  pipe.removeAllListeners("data");
  pipe.pause();
}
