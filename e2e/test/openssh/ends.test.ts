// How an SSH connection through `belay ssh-proxy` ends when it does not end well: ssh hears of it, and so do
// its commands.
import { randomUUID } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { findProcesses, waitForProcesses, waitUntilNoneLeft } from "../../src/processes.ts";
import { within } from "../../src/wait.ts";
import { describeWith } from "../support/needs-program.ts";
import { SshClient, box } from "./support/ssh-client.ts";
import type { StartedProgram } from "./support/ssh-client.ts";
import { tapPath } from "./support/tapped-path.ts";

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

/** Runs `echo begun; sleep 300` with ssh. Resolves once the command runs. */
async function begin(by: SshClient): Promise<StartedProgram> {
  const ssh = by.start([box, "echo begun; sleep 300"]);
  const begun = new Promise((resolve) => ssh.child.stdout.once("data", resolve));
  await within("the command's first output", 15_000, begun);
  return ssh;
}

/** Proxies are told apart by the gateway that they call. */
const proxies = () => ({ argv: deployment.clientUrl });

/** No proxy, and no token that still opens something. */
async function expectNothingLeft(): Promise<void> {
  await waitUntilNoneLeft(proxies());
  expect(await readdir(join(deployment.dataDir, "ssh-sessions"))).toEqual([]);
}

/** A command with three processes more, all of which carry a mark. Resolves once they run. */
async function beginMarked(): Promise<{ ssh: StartedProgram; mark: string }> {
  const mark = `mark-${randomUUID()}`;
  const sleep = `sh -c 'sleep 300; :' ${mark}`;
  const ssh = client.start([box, `${sleep} & ${sleep} & ${sleep}; wait`]);
  await waitForProcesses({ argv: mark }, 5); // ssh, its shell, and these three
  return { ssh, mark };
}

describeWith(["ssh"], "an ssh client", () => {
  it.each(["SIGKILL", "SIGTERM", "SIGHUP"] as const)(
    "that is ended with %s ends its command, with all processes, and leaves no token and no proxy",
    async (signal) => {
      const { ssh, mark } = await beginMarked();
      ssh.child.kill(signal);
      await ssh.exited;
      await waitUntilNoneLeft({ argv: mark });
      await expectNothingLeft();
    },
  );

  it.each(["SIGTERM", "SIGHUP"] as const)(
    "whose proxy is ended with %s ends its command too, and leaves no token",
    async (signal) => {
      const { mark } = await beginMarked();
      for (const { pid } of await findProcesses(proxies())) process.kill(pid, signal);
      await waitUntilNoneLeft({ argv: mark });
      await expectNothingLeft();
    },
  );

  it("that is done leaves no token and no proxy", async () => {
    expect(await client.ssh([box, "true"])).toMatchObject({ code: 0, stderr: "" });
    await expectNothingLeft();
  });
});

describeWith(["ssh"], "ssh fails with 255, and says why", () => {
  it("when the supervisor's connection is reset", async () => {
    const ssh = await begin(client);
    const ended = ssh.ended();
    const { process: supervisor, faults } = deployment.supervisor();
    const after = supervisor.mark();
    faults.cut("rst");
    const { code, stderr } = await ended;
    expect(code).toBe(255);
    expect(stderr).toContain(`belay: the connection to ${box} broke: relay channel dropped`);
    await supervisor.waitForEvent("supervisor.ready", { after });
  });

  it("when the gateway's connection is reset", async () => {
    const ssh = await begin(client);
    const ended = ssh.ended();
    deployment.clientProxy.cut("rst");
    const { code, stderr } = await ended;
    expect(code).toBe(255);
    expect(stderr).toContain(`belay: the connection to ${box} broke: `);
  });

  it("when its proxy is killed", async () => {
    const ssh = await begin(client);
    const ended = ssh.ended();
    for (const { pid } of await findProcesses(proxies())) process.kill(pid, "SIGKILL");
    expect((await ended).code).toBe(255);
  });

  it("when its token is revoked", async () => {
    await using path = await tapPath(deployment.gatewayUrl);
    await using other = await SshClient.of(deployment, { gatewayUrl: path.url });
    const ssh = await begin(other);
    const ended = ssh.ended();
    const token = await path.token();
    const [proxy] = await findProcesses({ argv: path.url });
    expect(proxy?.argv.join(" ")).not.toContain(token);
    expect(await deployment.client().revokeSshSession({ token })).toMatchObject({ revoked: true });
    const { code, stderr } = await ended;
    expect(code).toBe(255);
    expect(stderr).toContain("SSH session token revoked");
    expect(stderr).not.toContain(token);
  });

  it("when there is no such sandbox", async () => {
    await using other = await SshClient.of(deployment, { sandbox: "nowhere" });
    const { code, stderr } = await other.ssh(["nowhere", "true"]);
    expect(code).toBe(255);
    expect(stderr).toContain("belay: sandbox not found");
  });
});
