import { describe, expect, it } from "vitest";
import { execScene } from "../support/exec-scene.ts";
import type { FakeCommand } from "../support/fake-supervisor.ts";
import { settled, until } from "@belay/relay-core/testing";

/** The end of a healthy command. */
function exits(code: number, { channel }: FakeCommand): void {
  channel.exit(code);
  channel.end();
}

describe("an exec", () => {
  it("gives the output, then the exit, then ends", async () => {
    const scene = execScene();
    const exec = scene.exec({ command: ["make", "all it"], workdir: "/src" });
    const command = await exec.started();
    expect(command.line).toBe("cd -- /src || exit 126; exec make 'all it'");
    command.channel.write("out");
    command.channel.stderr.write("err");
    exits(3, command);
    expect(await exec.ended).toBeUndefined();
    await exec.finished;
    expect([exec.text("stdout"), exec.text("stderr")]).toEqual(["out", "err"]);
    expect(exec.exit()).toEqual({
      exitCode: 3,
      reason: "exited",
      signal: "",
      outputIncomplete: false,
    });
    expect(exec.events.filter(({ payload }) => payload.case === "exit")).toHaveLength(1);
  });

  it.each([
    ["nothing", ""],
    ["output", "quick"],
  ])("that ends in the same breath as it starts, with %s, keeps its status", async (_, output) => {
    const scene = execScene({
      onCommand(command) {
        if (output) command.channel.write(output);
        exits(7, command);
      },
    });
    const exec = scene.exec();
    expect(await exec.ended).toBeUndefined();
    expect(exec.text("stdout")).toBe(output);
    expect(exec.exit()).toMatchObject({ exitCode: 7, outputIncomplete: false });
  });

  it("reports the end by a signal", async () => {
    const scene = execScene();
    const exec = scene.exec();
    const { channel } = await exec.started();
    channel.exit("KILL" as never, false, "");
    channel.end();
    expect(await exec.ended).toBeUndefined();
    expect(exec.exit()).toMatchObject({ exitCode: 137, reason: "signaled", signal: "KILL" });
  });

  it.each([
    ["ssh-eof", true, false],
    ["ssh-eof", false, true],
    ["ssh-env", false, false], // only who promised the EOF is taken at the lack of it
  ])(
    "of a server with %s that sends EOF: %s says incomplete: %s",
    async (feature, eof, missing) => {
      const scene = execScene({}, { features: [feature] });
      const exec = scene.exec();
      const { channel } = await exec.started();
      channel.exit(0);
      if (eof) channel.end();
      else channel.close();
      expect(await exec.ended).toBeUndefined();
      expect(exec.exit()).toMatchObject({ exitCode: 0, outputIncomplete: missing });
    },
  );

  it("gives the command its input, and then the end of it", async () => {
    const scene = execScene();
    const stdin = Buffer.alloc(300_000, "input ");
    const exec = scene.exec({ stdin });
    const command = await exec.started();
    const read: Buffer[] = [];
    for await (const chunk of command.channel) read.push(chunk as Buffer);
    expect(Buffer.concat(read).equals(stdin)).toBe(true);
    exits(0, command);
    expect(await exec.ended).toBeUndefined();
  });

  it("whose command reads none of its input ends all the same", async () => {
    const scene = execScene();
    const exec = scene.exec({ stdin: Buffer.alloc(4 * 1024 * 1024 - 1) });
    const command = await exec.started();
    exits(0, command);
    command.channel.resume();
    expect(await exec.ended).toBeUndefined();
    await exec.finished;
  });

  it("keeps environment values out of the command line where the server takes them", async () => {
    const scene = execScene();
    const exec = scene.exec({ environment: { TOKEN: "secret" } });
    const command = await exec.started();
    expect(command.line).toBe("exec true");
    expect(command.env).toEqual({ TOKEN: "secret", BELAY_EXEC_ID: "exec-1" });
    exits(0, command);
    await exec.ended;
    expect(JSON.stringify(scene.lines)).not.toContain("secret");
  });

  it("sends them in the command line to a server that takes none", async () => {
    const scene = execScene({}, { features: [] });
    const exec = scene.exec({ environment: { A: "b c" } });
    const command = await exec.started();
    expect(command.line).toBe("export A='b c'; exec true");
    expect(command.env).toEqual({});
    exits(0, command);
    await exec.ended;
  });

  it.each([
    [{ tty: true }, { cols: 80, rows: 24 }],
    [
      { tty: true, cols: 132, rows: 50 },
      { cols: 132, rows: 50 },
    ],
    [{ cols: 132, rows: 50 }, undefined],
  ])("with %o gets the terminal %o", async (request, pty) => {
    const scene = execScene();
    const exec = scene.exec(request);
    const command = await exec.started();
    expect(command.pty).toEqual(pty);
    exits(0, command);
    await exec.ended;
  });

  it("leaves nothing behind", async () => {
    const scene = execScene();
    for (let round = 0; round < 3; round += 1) {
      const exec = scene.exec({ timeoutSeconds: 30 });
      exits(0, await exec.started());
      await exec.ended;
      await exec.finished;
    }
    await settled();
    expect(scene.deps.relays.size).toBe(0);
    expect(scene.clock.pendingTimers).toBe(0);
  });

  it("that is silent for a day is still waited for, while its server answers keepalives", async () => {
    const scene = execScene();
    const exec = scene.exec();
    const command = await exec.started();
    await until(() => scene.lines.some(({ event }) => event === "exec.started"));
    for (let hour = 0; hour < 2; hour += 1) await scene.clock.advance(3_600_000);
    expect(exec.events).toEqual([]);
    exits(0, command);
    expect(await exec.ended).toBeUndefined();
  });
});
