import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { belay } from "./support/in-process.ts";
import { serve } from "./support/serve.ts";
import type { ServedGateway } from "./support/serve.ts";

let gateway: ServedGateway;
let folder: string;
beforeAll(async () => {
  gateway = await serve();
  folder = await mkdtemp(join(tmpdir(), "belay-cli-"));
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const run = (argv: readonly string[], env: Record<string, string> = {}) =>
  belay(argv, { BELAY_GATEWAY: gateway.url, ...env });

describe("belay", () => {
  it("explains itself, and each command with an example", async () => {
    const all = await belay(["--help"]);
    expect(all).toMatchObject({ exitCode: 0, stderr: "" });
    const names = ["exec", "start", "follow", "ps", "signal", "cancel", "sandboxes"];
    for (const name of names) {
      expect(all.stdout).toMatch(new RegExp(`^  ${name} `, "m"));
      const one = await belay([name, "--help"]);
      expect(one).toMatchObject({ exitCode: 0, stderr: "" });
      expect(one.stdout).toMatch(new RegExp(`Examples:\\n  # .*\\n  .*belay ${name}`));
      expect(one.stdout).toContain("BELAY_TOKEN_FILE");
    }
    expect(all.stdout).toContain("255");
  });

  it.each([
    [["exec", "demo", "ls"], "put -- between the sandbox and the command: belay exec demo -- ls"],
    [["exec", "demo", "--"], "put -- between the sandbox and the command"],
    [["exec", "--", "ls"], "missing required argument 'SANDBOX'"],
    [["exec", "--grace", "demo", "--", "ls"], "unknown option '--grace'"],
    [["exec", "--timeout", "soon", "demo", "--", "ls"], "must be a time, such as 90s"],
    [["exec", "--timeout", "0", "demo", "--", "ls"], "must be a time"],
    [["ps", "demo", "--", "ls"], "`belay ps` runs no command"],
    [["ps", "demo", "more"], "too many arguments"],
    [["sand"], "unknown command 'sand'"],
    [["ps", "--gateway", "nowhere", "demo"], "--gateway must be a URL"],
    [["ps", "--token-file", "/nowhere", "demo"], "/nowhere cannot be read (ENOENT)"],
  ])("ends %j with 255 and says what is wrong", async (argv, message) => {
    const { exitCode, stdout, stderr } = await run(argv);
    expect(stderr).toContain(message);
    expect({ exitCode, stdout }).toEqual({ exitCode: 255, stdout: "" });
    expect(gateway.fake.starts).toBe(0);
  });

  it("sends the token of a file, else that of the environment, and shows neither", async () => {
    const file = join(folder, "token");
    await writeFile(file, "secret-of-file\n");
    gateway.authorizations.clear();
    const ran = [
      await run(["sandboxes"], { BELAY_TOKEN: "secret-of-env" }),
      await run(["sandboxes"], { BELAY_TOKEN: "secret-of-env", BELAY_TOKEN_FILE: file }),
      await run(["sandboxes", "--token-file", file]),
    ];
    expect([...gateway.authorizations]).toEqual(["Bearer secret-of-env", "Bearer secret-of-file"]);
    expect(JSON.stringify(ran)).not.toContain("secret");
  });
});

describe("what a command is run with", () => {
  it("comes from options, files and our environment", async () => {
    const file = join(folder, "env");
    await writeFile(file, "# note\nA=file\nB='from file'\n");
    const { exitCode } = await run(
      // prettier-ignore
      ["exec", "-e", "A=first", "-e", "A=x=y", "-e", "HERE", "--env-file", file, "-w", "/srv",
        "--timeout", "1.5m", "--id", "mine", "demo", "--", "echo", "-e", "--", "-w"],
      { HERE: "taken" },
    );
    expect(exitCode).toBe(0);
    expect(gateway.fake.lastExec.execId).toBe("mine");
    expect(gateway.fake.lastExec.spec).toMatchObject({
      command: ["echo", "-e", "--", "-w"],
      environment: { A: "x=y", B: "from file", HERE: "taken" },
      workdir: "/srv",
      timeoutMs: 90_000n,
      detached: false,
      stdin: false,
    });
  });

  it("is refused without a word of what may be a secret", async () => {
    const { exitCode, stderr } = await run(["exec", "-e", "a-b=secret", "demo", "--", "echo"]);
    expect(exitCode).toBe(255);
    expect(stderr).toContain("-e takes KEY=VALUE or KEY");
    expect(stderr).not.toContain("secret");
    const missing = await run(["exec", "-e", "NOT_HERE", "demo", "--", "echo"]);
    expect(missing.stderr).toContain("-e NOT_HERE: there is no such variable here");
  });
});

describe("execs that are known", () => {
  it("are started, listed, signaled, followed and canceled", async () => {
    const { stdout } = await run([
      "start",
      "--keep",
      "1h",
      "--log-bytes",
      "100",
      "--drop-oldest",
      "demo",
      "--",
      "sleep",
    ]);
    const execId = stdout.trim();
    const exec = gateway.fake.execs.get(execId)!;
    expect(exec.spec).toMatchObject({ detached: true, retentionMs: 3_600_000n, logBytes: 100n });
    exec.write("stdout", "so far\n");

    const listed = await run(["ps", "demo"]);
    expect(listed.stdout).toMatch(/^EXEC +STATE +EXIT +STARTED +COMMAND\n/);
    expect(listed.stdout).toMatch(new RegExp(`^${execId} +running +1970-\\S+ +sleep$`, "m"));
    const [first] = JSON.parse((await run(["ps", "--json", "demo"])).stdout) as [object];
    expect(first).toMatchObject({ execId, state: "running", command: ["sleep"] });

    expect(await run(["signal", "demo", execId, "HUP"])).toMatchObject({ exitCode: 0 });
    expect(exec.signals).toEqual(["HUP"]);
    expect(await run(["follow", "--no-wait", "demo", execId])).toMatchObject({
      exitCode: 0,
      stdout: "so far\n",
    });
    expect(await run(["follow", "--no-wait", "--from-end", "demo", execId])).toMatchObject({
      exitCode: 0,
      stdout: "",
    });
    expect(await run(["cancel", "demo", execId])).toMatchObject({
      exitCode: 0,
      stdout: "canceled; processes ended: 1\n",
    });
    expect(await run(["follow", "demo", execId])).toMatchObject({
      exitCode: 143,
      stdout: "so far\n",
      stderr: "belay: canceled; 1 process ended\n",
    });
    const { exit } = JSON.parse((await run(["cancel", "--json", "demo", execId])).stdout) as {
      exit: { reason: string; stdout: { bytes: number; sha256: string } };
    };
    expect(exit).toMatchObject({ reason: "canceled", stdout: { bytes: 7 } });
    expect(exit.stdout.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it("cannot move the cursor of whoever lists them", async () => {
    await run(["exec", "demo", "--", "echo", "\u001b[2J"]);
    const { stdout } = await run(["ps", "demo"]);
    expect(stdout).toContain("echo ·[2J");
  });

  it("print their ids as JSON, for a program", async () => {
    const { stdout } = await run(["exec", "-d", "--json", "--id", "j", "demo", "--", "sleep"]);
    expect(JSON.parse(stdout)).toEqual({ sandboxId: "sandbox-1", execId: "j" });
  });

  it("that are not known fail with what to do", async () => {
    const { exitCode, stderr } = await run(["follow", "demo", "none"]);
    expect(exitCode).toBe(255);
    expect(stderr).toContain("(exec_not_found)");
    expect(stderr).toContain("belay ps");
    const forProgram = await run(["cancel", "--json", "nowhere", "none"]);
    expect(JSON.parse(forProgram.stderr)).toMatchObject({
      error: { kind: "sandbox_not_found", sandboxId: "nowhere", execId: "none" },
    });
  });
});

it("lists sandboxes, for people and for programs", async () => {
  const { stdout } = await run(["sandboxes"]);
  expect(stdout).toBe("NAME  ID         PHASE\ndemo  sandbox-1  ready\n");
  expect(JSON.parse((await run(["sandboxes", "--json"])).stdout)).toMatchObject([{ name: "demo" }]);
});
