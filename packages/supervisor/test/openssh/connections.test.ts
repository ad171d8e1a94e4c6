// connections.test.ts: one connection of OpenSSH's for much at once: `ssh -L`, `ssh -W`, ControlMaster.
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { TcpTarget } from "../support/tcp-target.ts";
import { until } from "../support/until.ts";
import { describeWith } from "./support/programs.ts";
import type { RunningProgram } from "./support/programs.ts";
import { SshHost } from "./support/ssh-host.ts";

let host: SshHost;

beforeEach(async () => {
  host = await SshHost.start();
});

afterEach(async () => {
  await host[Symbol.asyncDispose]();
});

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

async function dial(port: number): Promise<Socket> {
  return until("ssh listens", () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    return new Promise<Socket | undefined>((resolve) => {
      socket.once("connect", () => resolve(socket));
      socket.once("error", () => resolve(undefined));
    });
  });
}

async function stop(program: RunningProgram): Promise<void> {
  program.child.kill("SIGTERM");
  await program.exitCode;
}

describeWith(["ssh"], "ssh -L", () => {
  it("carries many connections at once, each whole both ways, with its half-close", async () => {
    await using target = await TcpTarget.start((socket) => socket.pipe(socket));
    const port = await freePort();
    const forwarding = host.start(["-N", "-L", `${port}:127.0.0.1:${target.port}`, "box"]);
    await dial(port).then((socket) => socket.destroy());
    const data = randomBytes(1024 * 1024);
    const answers = Array.from({ length: 20 }, async () => {
      const socket = await dial(port);
      socket.end(data);
      return sha256(await buffer(socket));
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([sha256(data)]));
    await stop(forwarding);
  });

  it("that leads nowhere is refused, and the connection stays", async () => {
    const [port, nowhere] = [await freePort(), await freePort()];
    const forwarding = host.start(["-v", "-N", "-L", `${port}:127.0.0.1:${nowhere}`, "box"]);
    const told = forwarding.ended();
    expect(await buffer(await dial(port))).toHaveLength(0);
    expect(await buffer(await dial(port))).toHaveLength(0);
    await stop(forwarding);
    expect((await told).stderr).toContain("connect failed: tcp target refused the connection");
  });
});

describeWith(["ssh"], "ssh -W", () => {
  it("speaks to a port of the sandbox", async () => {
    await using target = await TcpTarget.start((socket) => socket.pipe(socket));
    const ran = await host.ssh(["-W", `localhost:${target.port}`, "box"], { stdin: "hello" });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout.toString()).toBe("hello");
  });

  it("does not lead out of the sandbox", async () => {
    const ran = await host.ssh(["-oLogLevel=INFO", "-W", "192.0.2.1:80", "box"]);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain("administratively prohibited: tcp target host must be loopback");
  });
});

describeWith(["ssh"], "a ControlMaster", () => {
  it("carries several commands at once over one connection", async () => {
    const socket = host.path("master");
    const master = host.start(["-M", "-S", socket, "-N", "box"]);
    const viaMaster = (...args: string[]) => host.ssh(["-S", socket, ...args]);
    await until(
      "the master is there",
      async () => (await viaMaster("-O", "check", "box")).code === 0,
    );
    const ran = await Promise.all(
      Array.from({ length: 10 }, (_, code) =>
        host.ssh(["-S", socket, "box", `cat; echo err ${code} >&2; exit ${code}`], {
          stdin: `input ${code}`,
        }),
      ),
    );
    expect(ran.map(({ code }) => code)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const [code, { stdout, stderr }] of ran.entries()) {
      expect(stdout.toString()).toBe(`input ${code}`);
      expect(stderr).toBe(`err ${code}\n`);
    }
    expect(host.connections).toBe(1);
    await viaMaster("-O", "exit", "box");
    await master.exitCode;
  });
});
