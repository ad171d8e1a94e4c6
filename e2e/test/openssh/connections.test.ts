// One SSH connection for much at once, through one `belay ssh-proxy`: `ssh -L` and ControlMaster.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll, within } from "../../src/wait.ts";
import { findFreePort } from "../support/free-port.ts";
import { describeWith } from "../support/needs-program.ts";
import { TcpTarget, closedPort } from "../support/tcp-target.ts";
import { MB, sha256 } from "./support/files.ts";
import { SshClient, box } from "./support/ssh-client.ts";

let deployment: Deployment;
let client: SshClient;
beforeAll(async () => {
  deployment = await startDeployment();
  client = await SshClient.of(deployment);
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await deployment[Symbol.asyncDispose]();
});

async function dial(port: number): Promise<Socket> {
  return await poll("ssh to listen", () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    return new Promise<Socket | undefined>((resolve) => {
      socket.once("connect", () => resolve(socket));
      socket.once("error", () => resolve(undefined));
    });
  });
}

function everything(socket: Socket): Promise<Buffer> {
  return within("the end of a forwarded connection", 30_000, buffer(socket));
}

describeWith(["ssh"], "ssh -L", () => {
  it.each(["127.0.0.1", "::1"])(
    "leads to a port of the sandbox's loopback, %s, each connection whole both ways",
    async (host) => {
      await using target = await TcpTarget.start((socket) => socket.pipe(socket), host);
      const port = await findFreePort();
      const ssh = client.start(["-N", "-L", `${port}:[${host}]:${target.port}`, box]);
      await dial(port).then((socket) => socket.destroy());
      const data = randomBytes(MB);
      const answers = Array.from({ length: 10 }, async () => {
        const socket = await dial(port);
        socket.end(data); // the echo ends when it has heard the end
        return sha256(await everything(socket));
      });
      expect(new Set(await Promise.all(answers))).toEqual(new Set([sha256(data)]));
      ssh.child.kill("SIGTERM");
      await ssh.exited;
    },
  );

  it("that leads nowhere is refused, and the connection stays", async () => {
    const [port, nowhere] = [await findFreePort(), await closedPort()];
    const ssh = client.start(["-v", "-N", "-L", `${port}:127.0.0.1:${nowhere}`, box]);
    const told = ssh.ended();
    expect(await everything(await dial(port))).toHaveLength(0);
    expect(await everything(await dial(port))).toHaveLength(0);
    ssh.child.kill("SIGTERM");
    expect((await told).stderr).toContain("connect failed");
  });
});

describeWith(["ssh"], "a ControlMaster", () => {
  it("carries several commands at once over one connection", async () => {
    const since = deployment.gateway.mark();
    const socket = client.path("master");
    const master = client.start(["-M", "-S", socket, "-N", box]);
    const viaMaster = (...args: string[]) => client.ssh(["-S", socket, ...args]);
    await poll("the master", async () => (await viaMaster("-O", "check", box)).code === 0);
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, code) =>
        client.ssh(["-S", socket, box, `cat; echo err ${code} >&2; exit ${code}`], {
          stdin: `input ${code}`,
        }),
      ),
    );
    expect(all.map(({ code }) => code)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (const [code, { stdout, stderr }] of all.entries()) {
      expect(stdout.toString()).toBe(`input ${code}`);
      expect(stderr).toBe(`err ${code}\n`);
    }
    expect(deployment.gateway.events("forward.opened", since)).toHaveLength(1);
    await viaMaster("-O", "exit", box);
    await master.exited;
  });
});
