// Files to and from a sandbox, with OpenSSH's `scp` and `sftp` and with `rsync`, through `belay ssh-proxy`.
import * as fs from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { runProgram } from "../support/run-program.ts";
import { MB, hashOf, randomFile } from "./support/files.ts";
import { SshClient, box } from "./support/ssh-client.ts";

let deployment: Deployment;
let client: SshClient;
/** The sandbox's files are on this machine too. */
let ours: string;
let theirs: string;
beforeAll(async () => {
  deployment = await startDeployment();
  client = await SshClient.of(deployment);
});
beforeEach(async () => {
  ours = await mkdtemp(client.path("ours-"));
  theirs = await mkdtemp(client.path("theirs-"));
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await deployment[Symbol.asyncDispose]();
});

const quiet = { code: 0, stderr: "" };

describeWith(["scp", "ssh"], "scp", () => {
  it("copies a large file there and back, whole", async () => {
    const file = await randomFile(`${ours}/big`, 50 * MB);
    const there = await client.run("scp", [file, `${box}:${theirs}/big`]);
    expect(there).toMatchObject(quiet);
    const back = await client.run("scp", [`${box}:${theirs}/big`, `${ours}/back`]);
    expect(back).toMatchObject(quiet);
    expect(await hashOf(`${theirs}/big`)).toBe(await hashOf(file));
    expect(await hashOf(`${ours}/back`)).toBe(await hashOf(file));
  });

  it("copies a large file there and back while keys change again and again", async () => {
    const rekey = "-oRekeyLimit=2M";
    const file = await randomFile(`${ours}/f`, 15 * MB);
    const there = await client.run("scp", [rekey, file, `${box}:${theirs}/f`]);
    expect(there).toMatchObject(quiet);
    const back = await client.run("scp", [rekey, `${box}:${theirs}/f`, `${ours}/back`]);
    expect(back).toMatchObject(quiet);
    expect(await hashOf(`${ours}/back`)).toBe(await hashOf(file));
  });

  it("says what is not there", async () => {
    const ran = await client.run("scp", [`${box}:${theirs}/none`, `${ours}/back`]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("No such file or directory");
  });
});

describeWith(["sftp", "ssh"], "sftp", () => {
  it("puts, gets, renames, makes directories and links, and lists", async () => {
    const file = await randomFile(`${ours}/f`, 3 * MB);
    const batch = [
      `cd ${theirs}`,
      "mkdir directory",
      `put ${file} directory/f`,
      "rename directory/f directory/g",
      "symlink g directory/link",
      "ls -la directory",
      `get directory/link ${ours}/back`,
    ];
    const ran = await client.run("sftp", ["-q", "-b", "-", box], {
      stdin: `${batch.join("\n")}\n`,
    });
    expect(ran).toMatchObject(quiet);
    expect(await hashOf(`${ours}/back`)).toBe(await hashOf(file));
    expect(fs.readdirSync(`${theirs}/directory`).toSorted()).toEqual(["g", "link"]);
    expect(fs.readlinkSync(`${theirs}/directory/link`)).toBe("g");
    expect(ran.stdout.toString()).toMatch(/^-rw.* 3000000 .* g$/m);
    expect(ran.stdout.toString()).toMatch(/^lrwx.* link$/m);
  });
});

describeWith(["rsync", "ssh", "diff"], "rsync", () => {
  it("brings a tree there and back", async () => {
    await mkdir(`${ours}/tree/sub`, { recursive: true });
    for (let n = 0; n < 100; n += 1) await randomFile(`${ours}/tree/sub/${n}`, 20_000);
    await randomFile(`${ours}/tree/big`, 20 * MB);
    const rsync = (from: string, to: string) =>
      runProgram("rsync", ["-a", "-e", `ssh -F ${client.config}`, from, to]);
    expect(await rsync(`${ours}/tree/`, `${box}:${theirs}/`)).toMatchObject(quiet);
    expect(await rsync(`${box}:${theirs}/`, `${ours}/back`)).toMatchObject(quiet);
    const compared = await runProgram("diff", ["-r", `${ours}/tree`, `${ours}/back`]);
    expect(compared).toMatchObject(quiet);
  });
});
