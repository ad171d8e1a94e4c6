// What nobody but its owner may read: tokens, environment values, input. Not in a log, not in a command line, not in a command.
import { randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BelayProcess } from "../../src/belay-process.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { collectExec } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import type { SandboxToken } from "../../src/sandbox-token.ts";
import { expectExit } from "../support/expect-exec.ts";
import { metric } from "../support/metrics.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";

const supervisorScript = fileURLToPath(
  new URL("../../../packages/supervisor/dist/belay-supervisor.mjs", import.meta.url),
);
const secret = {
  environment: `environment-${randomUUID()}`,
  stdin: `stdin-${randomUUID()}`,
};

describe.each(["plain", "durable"] as const)("in the %s form", (form) => {
  let deployment: Deployment;
  let client: OpenShellClient;
  let token: SandboxToken;
  let supervisor: BelayProcess;
  /** What the sandbox's shell was started with, each time: a shell that execs the command shows it only for a moment. */
  let argvFile: string;
  beforeAll(async () => {
    deployment = await startDeployment({
      supervisors: 0,
      proxied: false,
      gatewayArgs: ["--log-level", "debug"],
    });
    client = deployment.client();
    token = await deployment.token("box");
    argvFile = join(deployment.folder, "argv");
    const shellFile = join(deployment.folder, "sh");
    const recording = `#!/bin/sh\nprintf '%s\\n' "$@" >> '${argvFile}'\nexec /bin/sh "$@"\n`;
    await writeFile(shellFile, recording, { mode: 0o755 });
    supervisor = new BelayProcess({
      name: "supervisor with its token in the environment",
      script: supervisorScript,
      args: [
        "run",
        "--gateway",
        deployment.gatewayUrl,
        "--log-level",
        "debug",
        "--shell",
        shellFile,
      ],
      env: { BELAY_SANDBOX_TOKEN: token.token, BELAY_EXEC_FORM: form },
      cwd: deployment.folder,
    });
    await supervisor.waitForEvent("supervisor.ready");
  });
  afterAll(async () => {
    await supervisor[Symbol.asyncDispose]();
    await deployment[Symbol.asyncDispose]();
  });

  const request = { environment: { SECRET: secret.environment }, stdin: Buffer.from(secret.stdin) };
  /** The signature: what makes a token of it. */
  const signature = () => token.token.split(".")[2]!;

  async function commandLines(): Promise<string[]> {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    return await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
    );
  }

  describe("a secret", () => {
    it("reaches the command that it was meant for, and no command line", async () => {
      await using exec = new ShellExec(client, token, 'cat; echo " $SECRET ready"; sleep 300', {
        request,
      });
      await exec.run.received("ready\n");
      expect(exec.run.output().toString()).toBe(`${secret.stdin} ${secret.environment} ready\n`);
      const lines = await commandLines();
      expect(lines.filter((line) => line.includes("belay-supervisor"))).not.toEqual([]);
      const shellArgv = form === "plain" ? await readFile(argvFile, "utf8") : "";
      expect(shellArgv.includes("sleep 300")).toBe(form === "plain"); // no shell reads argv
      for (const value of [signature(), secret.environment, secret.stdin]) {
        expect(lines.filter((line) => line.includes(value))).toEqual([]);
        expect(shellArgv).not.toContain(value);
      }
    });

    it("of the supervisor is not in a command's environment, nor in what it can read of its own", async () => {
      const result = await shell(client, token, "env; cat /proc/self/environ /proc/$$/cmdline");
      expectExit(result, 0);
      expect(result.stdout.toString()).not.toContain(signature());
      expect(result.stdout.toString()).not.toContain("BELAY_SANDBOX_TOKEN");
    });

    it("is in no log, whatever becomes of the exec", async () => {
      const { sandboxId } = token;
      expectExit(await shell(client, token, "exit 0", { request }), 0);
      expectExit(await shell(client, token, "kill -9 $$", { request }), 137);
      expectExit(
        await shell(client, token, "sleep 300", { request: { ...request, timeoutSeconds: 1 } }),
        124,
      );
      await using canceled = new ShellExec(client, token, "echo ready; sleep 300", { request });
      await canceled.ready();
      canceled.run.cancel();
      await canceled.noneLeft();
      const refused = [
        { ...request, sandboxId, command: [] },
        { ...request, sandboxId, command: ["x"], workdir: "\0" },
        { sandboxId, command: ["x"], environment: { SECRET: `${secret.environment}\0` } },
        { sandboxId, command: ["x"], environment: { [secret.environment]: "bad name" } },
        { ...request, sandboxId: "unknown", command: ["x"] },
      ];
      for (const one of refused) {
        const { error } = await collectExec(client, one);
        expect(error?.message).toBeDefined();
        expect(error?.message).not.toContain(secret.environment);
      }
      const logs = [...deployment.gateway.lines, ...supervisor.lines].map(({ text }) => text);
      expect(logs.length).toBeGreaterThan(10);
      for (const value of [signature(), secret.environment, secret.stdin])
        expect(logs.filter((line) => line.includes(value))).toEqual([]);
    });

    it("is in no metric", async () => {
      expect(await metric(deployment, "belay_execs_running")).toBe(0);
      const text = await (await fetch(`${deployment.gatewayUrl}/metrics`)).text();
      for (const value of [...Object.values(secret), signature(), token.sandboxId])
        expect(text).not.toContain(value);
    });
  });
});
