// What a command leaves behind may hold its output open. The exec ends with the command, in bounded time, and says what is missing.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { sleepMs } from "../../src/wait.ts";
import { expectExit, slackMs } from "../support/expect-exec.ts";
import { ShellExec } from "../support/shell-exec.ts";

/** Defaults of --exit-quiet-ms and --exit-drain-ms; nothing of these may be waited for twice. */
const quietMs = 250;
const drainMs = 2_000;

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const rows = [
  { name: "is quiet", left: "sleep 300 &", withinMs: quietMs },
  { name: "is quiet, in a session of its own", left: "setsid sleep 300 &", withinMs: quietMs },
  {
    name: "dribbles",
    left: "(while :; do echo drip; sleep 0.05; done) &",
    withinMs: drainMs,
  },
  { name: "writes at full speed", left: "(trap '' PIPE; exec yes) &", withinMs: drainMs },
  { name: "holds stderr alone", left: "sleep 300 >/dev/null &", withinMs: quietMs },
] as const;

describe.each(rows)("a grandchild that $name", ({ left, withinMs }) => {
  it.each([false, true])("does not hold the exec (tty: %s)", async (tty) => {
    // A terminal's leader takes its jobs along with a HUP, unless they ignore it.
    const script = `trap '' HUP; echo first; ${left} echo last; exit 3`;
    await using exec = new ShellExec(client, deployment.supervisor(), script, { request: { tty } });
    const result = await exec.result;
    expectExit(result, 3);
    expect(result.tookMs).toBeLessThan(withinMs + slackMs);
    const said = result.stdout.toString().replaceAll("\r\n", "\n");
    expect(said).toMatch(/^first\n/);
    expect(said).toContain("last\n");
    expect(result.exit?.outputIncomplete).toBe(true);
  });
});

describe("a command's own output", () => {
  it("is whole although a grandchild holds it and the reader is slow", async () => {
    const script = "sleep 300 & seq 1 300000; echo the end; exit 0";
    await using exec = new ShellExec(client, deployment.supervisor(), script, {
      readDelay: () => sleepMs(20),
    });
    const result = await exec.result;
    expectExit(result, 0);
    expect(result.stdout.toString().endsWith("\n300000\nthe end\n")).toBe(true);
  });

  it("is complete where what was left behind holds nothing, and costs no wait", async () => {
    const script = "sleep 300 </dev/null >/dev/null 2>&1 & echo out; exit 0";
    await using exec = new ShellExec(client, deployment.supervisor(), script);
    const result = await exec.result;
    expectExit(result, 0, "out\n");
    expect(result.exit?.outputIncomplete).toBe(false);
    expect(await exec.processes(), "what it left runs on").toHaveLength(1);
  });
});
