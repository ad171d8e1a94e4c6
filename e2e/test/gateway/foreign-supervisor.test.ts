// A supervisor that announces no features, as any OpenShell supervisor: what it is handed is one standard exec request with a
// line for a POSIX shell, in which every byte of arguments, workdir and environment survives.
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { startGateway, startScene } from "../support/scene.ts";
import { runsInShell } from "../support/shell-puppet.ts";

let gateway: Deployment;
let folder = "";
beforeAll(async () => {
  gateway = await startGateway();
  folder = await realpath(await mkdtemp(join(tmpdir(), "belay-foreign-")));
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const awkward: Record<string, string> = {
  empty: "",
  spaces: "  two  spaces  ",
  quotes: `it's "quoted" and 'quoted' again''`,
  newlines: "line 1\nline 2\r\n\nline 4\n",
  expansions: "$HOME ${PATH} $(id) `id` $((1+1)) ~ * ? [a-z] {a,b} !!",
  operators: "a; b & c | d > /dev/null < x && y || z # no comment",
  backslashes: "\\ \\\\ \\n \\' \\",
  option: "-n",
  unicode: "grüße, 世界 🌍",
  control: "\t\v\f\u001b[31m\u007f\u0001",
  assignment: "A=b",
};
const values = Object.values(awkward);

/** Prints each of its arguments, ended by NUL. */
const printArguments = ["sh", "-c", `printf '%s\\0' "$@"`, "sh"];

const shells: [name: string, shell: string, args: string[]][] = [
  ["sh", "sh", ["-c"]],
  ["bash, as a login shell", "bash", ["--noprofile", "-lc"]],
];

describe.each(shells)("a supervisor whose shell is %s", (_name, shell, args) => {
  const exec = runsInShell(shell, args);

  it("hands over every byte of every argument", async () => {
    await using scene = await startScene(gateway, { exec });
    const run = scene.exec(gateway.client(), { command: [...printArguments, ...values] });
    expectExit(await run.result, 0, values.map((value) => `${value}\0`).join(""));
  });

  it("hands over every byte of every environment value, inlined", async () => {
    const environment = Object.fromEntries(values.map((value, at) => [`V_${at}`, value]));
    await using scene = await startScene(gateway, { exec });
    const names = values.map((_, at) => `"$V_${at}"`).join(" ");
    const command = ["sh", "-c", `printf '%s\\0' ${names}`];
    const run = scene.exec(gateway.client(), { command, environment });
    expectExit(await run.result, 0, values.map((value) => `${value}\0`).join(""));
    expect(scene.puppet.execs[0]?.environment).toEqual({});
  });

  it("starts in the workdir, however it is called, and without a word of its own", async () => {
    for (const name of ["plain", "it's $HOME\nhere", "-dashed"]) {
      const workdir = join(folder, name);
      await mkdir(workdir, { recursive: true });
      await using scene = await startScene(gateway, { exec });
      const run = scene.exec(gateway.client(), { command: ["pwd"], workdir });
      const result = await run.result;
      expectExit(result, 0, `${workdir}\n`);
      expect(result.stderr.toString()).toBe("");
    }
  });

  it("tells a workdir that is not there by exit 126, and does not run the command", async () => {
    await using scene = await startScene(gateway, { exec });
    const command = ["touch", join(folder, "was-run")];
    const run = scene.exec(gateway.client(), { command, workdir: join(folder, "not there") });
    const result = await run.result;
    expectExit(result, 126, "");
    expect(result.stderr.toString()).toMatch(/not there/);
    const look = scene.exec(gateway.client(), { command: ["test", "-e", command[1]!] });
    expectExit(await look.result, 1);
  });

  it("reports the command's own status, its end by a signal too", async () => {
    await using scene = await startScene(gateway, { exec });
    const client = gateway.client();
    expectExit(await scene.exec(client, { command: ["sh", "-c", "exit 77"] }).result, 77);
    expectExit(await scene.exec(client, { command: ["no-such-program-here"] }).result, 127);
    const killed = await scene.exec(client, { command: ["sh", "-c", "kill -KILL $$"] }).result;
    expectExit(killed, 137);
    expect(killed.exit).toMatchObject({ reason: "signaled", signal: "KILL" });
  });
});

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  it("stdin and both outputs come through as they are", async () => {
    await using scene = await startScene(gateway, { exec: runsInShell("sh") });
    using client = openshellClient(gateway.gatewayUrl, variant);
    const stdin = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256));
    const run = scene.exec(client, { command: ["sh", "-c", "cat; echo done >&2"], stdin });
    const result = await run.result;
    expectExit(result, 0);
    expect(result.stdout.equals(stdin)).toBe(true);
    expect(result.stderr.toString()).toBe("done\n");
  });
});

describe("a supervisor that takes SSH env requests", () => {
  it("gets the values that way, and none of them in the command line", async () => {
    const environment = { SECRET: "not-for-ps", EMPTY: "", L_1: "a\nb" };
    await using scene = await startScene(gateway, {
      features: ["ssh-env", "something-newer"],
      exec: runsInShell("sh"),
    });
    const run = scene.exec(gateway.client(), {
      command: ["sh", "-c", `printf '%s|%s|%s' "$SECRET" "\${EMPTY-unset}" "$L_1"`],
      environment,
    });
    expectExit(await run.result, 0, "not-for-ps||a\nb");
    const [received] = scene.puppet.execs;
    expect(received?.environment).toMatchObject(environment);
    expect(received?.command).not.toContain("not-for-ps");
  });
});
