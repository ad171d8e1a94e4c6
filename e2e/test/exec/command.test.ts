// What a command gets: its arguments as they were sent, its environment, its folder, its standard streams.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { collectExec } from "../../src/collect-exec.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { expectExit } from "../support/expect-exec.ts";
import { shell } from "../support/shell-exec.ts";
import type { RequestExtras } from "../support/shell-exec.ts";

let deployment: Deployment;
let client: OpenShellClient;
beforeAll(async () => {
  deployment = await startDeployment({
    proxied: false,
    supervisorEnv: { OF_THE_SANDBOX: "inherited", OPENSHELL_ANYTHING: "ours" },
  });
  client = deployment.client();
});
afterAll(() => deployment[Symbol.asyncDispose]());

const script = (text: string, request: RequestExtras = {}) =>
  shell(client, deployment.supervisor(), text, { request });

describe("arguments", () => {
  const awkward = [
    "",
    " ",
    "two words",
    "it's",
    `"double" and 'single'`,
    "back\\slash\\",
    "$HOME `id` $(id) ${PATH}",
    "a\nb\n\nc\n",
    "\t\r\x01\x7f",
    "* ? [a-z] {1,2} ~ ! # & | ; < > ( )",
    "-n",
    "--",
    "ünïcödé 漢字 🚀",
    "x".repeat(32 * 1024),
  ];

  it("arrive byte for byte, in order", async () => {
    const { sandboxId } = deployment.supervisor();
    const command = ["sh", "-c", 'for one; do printf "%s\\0" "$one"; done', "sh", ...awkward];
    const result = await collectExec(client, { sandboxId, command });
    expectExit(result, 0);
    expect(result.stdout.toString().split("\0").slice(0, -1)).toEqual(awkward);
  });

  it("may be a thousand", async () => {
    const { sandboxId } = deployment.supervisor();
    const many = Array.from({ length: 1_000 }, (_, at) => `argument ${at}`);
    const result = await collectExec(client, {
      sandboxId,
      command: ["printf", "%s\n", ...many],
    });
    expectExit(result, 0, `${many.join("\n")}\n`);
  });
});

describe("the environment", () => {
  it("has what was asked for, byte for byte, beside what the sandbox has", async () => {
    const environment = {
      QUOTED: `it's "so" $HOME`,
      LINES: "a\nb\n",
      EMPTY: "",
      UNICODE: "漢字",
      OF_THE_SANDBOX: "overridden",
    };
    const result = await script("env -0", { environment });
    const entries = result.stdout.toString().split("\0");
    for (const [name, value] of Object.entries(environment))
      expect(entries).toContain(`${name}=${value}`);
    expect(entries.filter((entry) => entry.startsWith("OF_THE_SANDBOX="))).toHaveLength(1);
  });

  it("inherits the sandbox's own, and nothing that is the supervisor's", async () => {
    const result = await script('printf "%s;" "$OF_THE_SANDBOX" "$PATH"; env | cut -d= -f1');
    expect(result.stdout.toString()).toContain(`inherited;${process.env["PATH"]};`);
    const names = result.stdout.toString().split("\n");
    expect(names.filter((name) => /^(BELAY|OPENSHELL)_/.test(name))).toEqual(["BELAY_EXEC_ID"]);
  });

  it("names the exec that the exit event names", async () => {
    const result = await script('printf "$BELAY_EXEC_ID"');
    expect(result.stdout.toString()).toBe(result.exit?.execId);
  });
});

describe("the workdir", () => {
  it("is where the command starts, whatever its name", async () => {
    const { home } = deployment.supervisor();
    const folder = join(home, "-it's a\nfolder $HOME");
    await mkdir(folder);
    expectExit(await script("pwd", { workdir: folder }), 0, `${folder}\n`);
    expectExit(await script("pwd", { workdir: "-it's a\nfolder $HOME" }), 0, `${folder}\n`);
  });

  it("is the supervisor's own when none is given", async () => {
    expectExit(await script("pwd"), 0, `${deployment.supervisor().home}\n`);
  });
});

describe("the standard streams", () => {
  it("can be opened by name", async () => {
    const result = await script(
      "echo one > /dev/stdout; echo two > /dev/stderr; cat /dev/stdin; echo three >> /proc/self/fd/1",
      { stdin: Buffer.from("given\n") },
    );
    expectExit(result, 0, "one\ngiven\nthree\n");
    expect(result.stderr.toString()).toBe("two\n");
  });

  it("carry every byte", async () => {
    const bytes = Buffer.from(Array.from({ length: 256 * 64 }, (_, at) => at % 256));
    const result = await script("cat; exit 1", { stdin: bytes });
    expect(result.exitCode).toBe(1);
    expect(result.stdout.equals(bytes)).toBe(true);
  });

  it("are no terminal", async () => {
    expectExit(await script("test -t 0 || test -t 1 || test -t 2 || echo none"), 0, "none\n");
  });
});
