import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeploymentOptions } from "../../src/deployment.ts";
import { startDeployment } from "../../src/deployment.ts";
import { findProcesses } from "../../src/processes.ts";

// Stubs with the command lines and log lines of the real programs, so that the harness can be tried without them.
const stubGateway = `
import { createServer } from "node:net";
const log = (event, more = {}) => process.stderr.write(JSON.stringify({ event, ...more }) + "\\n");
const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
if (process.argv[2] === "token") {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  console.log(part({ alg: "none" }) + "." + part({ sandbox_id: "id-of-" + flag("--sandbox") }) + ".x");
} else {
  const [host, port] = flag("--listen").split(":");
  const server = createServer((socket) => {
    log("connected");
    socket.on("error", () => {});
    socket.write("hello");
  });
  server.listen(Number(port), host, () => log("gateway.ready", { url: "http://127.0.0.1:" + server.address().port, dataDir: flag("--data-dir") }));
}`;
const stubSupervisor = `
import { connect } from "node:net";
import { readFileSync } from "node:fs";
import { spawn } from "node:child_process";
const log = (event, more = {}) => process.stderr.write(JSON.stringify({ event, ...more }) + "\\n");
const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
const sandboxId = JSON.parse(Buffer.from(readFileSync(flag("--token-file"), "utf8").split(".")[1], "base64url")).sandbox_id;
if (process.argv.includes("--orphan")) spawn("sleep", ["60"], { detached: true, stdio: "ignore" }).unref();
const dial = () => {
  const socket = connect(Number(new URL(flag("--gateway")).port), "127.0.0.1");
  socket.once("data", () => log("supervisor.ready", { sandboxId }));
  socket.on("error", () => {});
  socket.on("close", () => setTimeout(dial, 20));
};
dial();`;

let folder = "";
let stubs: DeploymentOptions = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "belay-e2e-stubs-"));
  stubs = {
    gatewayScript: join(folder, "gateway.mjs"),
    supervisorScript: join(folder, "supervisor.mjs"),
  };
  await writeFile(join(folder, "gateway.mjs"), stubGateway);
  await writeFile(join(folder, "supervisor.mjs"), stubSupervisor);
});
afterAll(() => rm(folder, { recursive: true }));

describe("a deployment", () => {
  it("starts all, each supervisor behind a proxy of its own, and leaves nothing behind", async () => {
    const deployment = await startDeployment({
      ...stubs,
      supervisors: 2,
      supervisorArgs: ["--orphan"],
    });
    expect(deployment.supervisors.map(({ name, sandboxId }) => [name, sandboxId])).toEqual([
      ["sandbox-1", "id-of-sandbox-1"],
      ["sandbox-2", "id-of-sandbox-2"],
    ]);
    expect(deployment.supervisors.map(({ faults }) => faults.connections.length)).toEqual([1, 1]);
    expect(deployment.clientUrl).not.toBe(deployment.gatewayUrl);
    expect(await findProcesses({ env: deployment.marker })).toHaveLength(5);
    await deployment[Symbol.asyncDispose]();
    expect(await findProcesses({ env: deployment.marker })).toEqual([]);
    await expect(access(deployment.folder)).rejects.toThrow("ENOENT");
  });

  it.each([true, false])(
    "finds its supervisors again after a restart of the gateway (proxied: %s)",
    async (proxied) => {
      await using deployment = await startDeployment({ ...stubs, proxied });
      const before = deployment.supervisor().process.mark();
      const firstGateway = deployment.gateway;
      await deployment.restartGateway("SIGKILL");
      await deployment.supervisor().process.waitForEvent("supervisor.ready", { after: before });
      expect(await firstGateway.exited).toEqual({ code: null, signal: "SIGKILL" });
      expect(deployment.gateway.running).toBe(true);
    },
  );

  it("restarts a supervisor, and adds a second one for the same sandbox", async () => {
    await using deployment = await startDeployment(stubs);
    await deployment.supervisor().restart("SIGKILL");
    expect(deployment.supervisor().processes).toHaveLength(2);
    const second = await deployment.addSupervisor({ name: "sandbox-1" });
    expect(second.sandboxId).toBe(deployment.supervisor().sandboxId);
  });

  it("shows every log when the test fails, and when the start does", async () => {
    const reports: (() => void)[] = [];
    await using deployment = await startDeployment({
      ...stubs,
      test: { onTestFailed: (report) => reports.push(report) },
    });
    expect(reports).toHaveLength(1);
    expect(deployment.dump()).toMatch(
      /gateway-1 [^]*gateway\.ready[^]*sandbox-1\/supervisor-1 [^]*supervisor\.ready/,
    );
    const broken = startDeployment({ ...stubs, supervisorScript: join(folder, "missing.mjs") });
    await expect(broken).rejects.toThrow(
      /supervisor-1 ended before supervisor\.ready[^]*Cannot find module/,
    );
  });
});
