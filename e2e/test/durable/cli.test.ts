// `belay`, as it is built and installed, through a gateway and a supervisor: what a shell sees of a command in a
// sandbox.
import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { startFaultProxy } from "../../src/fault-proxy.ts";
import { findProcesses, waitForProcesses, waitUntilNoneLeft } from "../../src/processes.ts";
import { BelayCommand } from "../support/belay-command.ts";
import type { BelayCommandEnd } from "../support/belay-command.ts";
import { flags } from "../support/flags.ts";
import { bytesOf, linesAt, printSlowly } from "../support/numbered-lines.ts";

const sandbox = "sandbox-1";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    supervisorArgs: flags({ "reconnect-max-ms": 200, "termination-grace-ms": 500 }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

const started = (argv: readonly string[], input?: string | Buffer) =>
  new BelayCommand(deployment.clientUrl, argv, input);

async function belay(...argv: string[]): Promise<BelayCommandEnd> {
  await using command = started(argv);
  return await command.ended();
}

/** Starts a script that outlives its client; gives its id. */
async function startScript(script: string): Promise<string> {
  const { code, stdout } = await belay("start", sandbox, "--", "sh", "-c", script);
  expect(code).toBe(0);
  return stdout.trim();
}

const quiet = { argv: [] as string[], code: 0, stdout: "", stderr: "" };
const ends = [
  { ...quiet, does: "exits with 0", script: "true" },
  {
    ...quiet,
    does: "exits with the command's code",
    script: "echo out; echo err >&2; exit 7",
    code: 7,
    stdout: "out\n",
    stderr: "err\n",
  },
  { ...quiet, does: "passes on a 255, with no word of its own", script: "exit 255", code: 255 },
  {
    ...quiet,
    does: "exits with 128 + n after a signal",
    script: "kill -KILL $$",
    code: 137,
    stderr: "belay: ended by SIGKILL\n",
  },
  {
    ...quiet,
    does: "exits with 124 after its timeout",
    argv: ["--timeout", "500ms"],
    script: "setsid sleep 300 & sleep 300",
    code: 124,
    stderr: "belay: timed out; 3 processes ended\n",
  },
  {
    ...quiet,
    does: "sets variables and a directory",
    argv: ["-e", "A=a b", "-w", "/"],
    script: 'echo "$A"; pwd',
    stdout: "a b\n/\n",
  },
];

describe.concurrent("belay exec", () => {
  it.concurrent.each(ends)("$does", async ({ argv, script, code, stdout, stderr }) => {
    const end = await belay("exec", ...argv, sandbox, "--", "sh", "-c", script);
    expect(end).toEqual({ code, stdout, stderr });
  });

  it.concurrent("passes its input on", async () => {
    const input = Buffer.alloc(3_000_000, "some input, ");
    await using command = started(["exec", sandbox, "--", "sha256sum"], input);
    const sha256 = createHash("sha256").update(input).digest("hex");
    expect(await command.ended()).toMatchObject({ code: 0, stdout: `${sha256}  -\n` });
  });

  it.concurrent("ends all of the command on SIGINT, before it ends itself", async () => {
    const script = "setsid sleep 300 & echo ready; sleep 300";
    const id = randomUUID();
    await using command = started(["exec", "--id", id, sandbox, "--", "sh", "-c", script]);
    await command.printed("ready");
    const marker = { env: `BELAY_EXEC_ID=${id}` };
    await waitForProcesses(marker, 3);
    command.kill("SIGINT");
    expect((await command.ended()).code).toBe(130);
    expect(await findProcesses(marker)).toEqual([]);
  });

  it.concurrent("fails with 255 where no gateway answers, and says that nothing ran", async () => {
    await using nobody = await startFaultProxy({ targetPort: 9 });
    nobody.refuse();
    await using command = new BelayCommand(nobody.url, ["exec", sandbox, "--", "true"]);
    const { code, stdout, stderr } = await command.ended();
    expect({ code, stdout }).toEqual({ code: 255, stdout: "" });
    expect(stderr).toMatch(/^belay: .*\(session_lost\)\n {2}Nothing ran\. Is a gateway running/);
  });

  it.concurrent("fails with 255 of a sandbox that there is not", async () => {
    const { code, stderr } = await belay("exec", "no-such", "--", "true");
    expect(code).toBe(255);
    expect(stderr).toBe(
      "belay: sandbox not found (sandbox_not_found)\n  `belay sandboxes` lists those that there are.\n",
    );
  });
});

describe.concurrent("belay start", () => {
  it.concurrent(
    "leaves a command running that follow shows from its start, and exits as it does",
    async () => {
      const detached = [
        "exec",
        "-d",
        sandbox,
        "--",
        "sh",
        "-c",
        "echo a; sleep 1; echo b >&2; exit 3",
      ];
      const { stdout: id } = await belay(...detached);
      const [now, whole] = await Promise.all([
        belay("follow", "--no-wait", sandbox, id.trim()),
        belay("follow", sandbox, id.trim()),
      ]);
      expect(now).toMatchObject({ stdout: "a\n" });
      expect(whole).toEqual({ code: 3, stdout: "a\n", stderr: "b\n" });
      expect(await belay("follow", sandbox, id.trim()), "long after").toEqual(whole);
    },
  );

  it.concurrent("is seen in ps, by people and by programs", async () => {
    const id = await startScript("sleep 0.1; exit 5");
    await belay("follow", sandbox, id);
    const { stdout } = await belay("ps", sandbox);
    const [header, ...rows] = stdout.split("\n");
    expect(header).toMatch(/^EXEC +STATE +EXIT +STARTED +COMMAND$/);
    const row = rows.find((one) => one.startsWith(id));
    expect(row).toMatch(/^\S+ +ended +5 +\d{4}-\S+Z +sh -c sleep 0\.1; exit 5$/);
    const all = JSON.parse((await belay("ps", "--json", sandbox)).stdout) as { execId: string }[];
    expect(all.find(({ execId }) => execId === id)).toMatchObject({
      state: "ended",
      exit: { exitCode: 5, reason: "exited" },
    });
  });

  it.concurrent("takes signals by name", async () => {
    const id = await startScript(
      "trap 'echo caught; exit 4' USR1; echo ready; while :; do sleep 0.05; done",
    );
    await using follow = started(["follow", sandbox, id]);
    await follow.printed("ready");
    expect(await belay("signal", sandbox, id, "SIGUSR1")).toMatchObject({ code: 0, stderr: "" });
    expect(await follow.ended()).toMatchObject({ code: 4, stdout: "ready\ncaught\n" });
    const late = await belay("signal", sandbox, id, "USR1");
    expect(late).toMatchObject({ code: 255 });
    expect(late.stderr).toContain("(exec_ended)");
  });

  it.concurrent("is canceled with all of its processes", async () => {
    const id = await startScript("setsid sleep 300 & (setsid sleep 300 &) & echo ready; sleep 300");
    await using follow = started(["follow", sandbox, id]);
    await follow.printed("ready");
    const marker = { env: `BELAY_EXEC_ID=${id}` };
    await waitForProcesses(marker, 4);
    expect(await belay("cancel", sandbox, id)).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^canceled; processes ended: [45]\n$/) as string,
      stderr: "",
    });
    expect(await findProcesses(marker)).toEqual([]);
    expect((await follow.ended()).stderr).toContain("belay: canceled; ");
  });

  it.concurrent("is refused when its cancel came first", async () => {
    const id = randomUUID();
    expect(await belay("cancel", sandbox, id)).toMatchObject({
      code: 0,
      stdout: "not known here; it can no longer start\n",
    });
    const late = await belay("start", "--id", id, sandbox, "--", "true");
    expect(late).toMatchObject({ code: 255, stdout: "" });
    expect(late.stderr).toContain("(exec_fenced)");
  });

  it.concurrent("runs in one of the sandboxes that are listed", async () => {
    const { sandboxId } = deployment.supervisor();
    const { stdout } = await belay("sandboxes");
    expect(stdout).toMatch(new RegExp(`^NAME +ID +PHASE\n${sandbox} +${sandboxId} +ready\n$`));
  });
});

describe("belay exec and belay follow", () => {
  it("show all of it over lost ways and a gateway that is killed", async () => {
    const script = `${printSlowly(15, 500, { pause: 0.2 })}; exit 9`;
    const id = randomUUID();
    await using exec = started(["exec", "--id", id, sandbox, "--", "sh", "-c", script]);
    await exec.printed("1000499\n");
    await using follow = started(["follow", sandbox, id]);
    await follow.printed("1000499\n");
    deployment.clientProxy.cut("rst");
    deployment.supervisor().faults.cut("rst");
    await deployment.restartGateway("SIGKILL");
    const whole = linesAt(0, bytesOf(7_500)).toString();
    for (const { code, stdout, stderr } of [await exec.ended(), await follow.ended()]) {
      expect(stdout === whole, "every byte, once").toBe(true);
      expect({ code, stderr }).toEqual({ code: 9, stderr: "" });
    }
    await waitUntilNoneLeft({ env: `BELAY_EXEC_ID=${id}` });
  });
});
