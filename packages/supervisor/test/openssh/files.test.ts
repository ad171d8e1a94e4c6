// files.test.ts: files to and from a sandbox, with OpenSSH's own `scp` and `sftp`, and with `rsync`.
import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { describeWith, run } from "./support/programs.ts";
import { SshHost } from "./support/ssh-host.ts";

let host: SshHost;

beforeEach(async () => {
  host = await SshHost.start();
  fs.mkdirSync(host.path("ours"));
  fs.mkdirSync(host.path("box"));
});

afterEach(async () => {
  await host[Symbol.asyncDispose]();
});

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const hashOf = (path: string) => sha256(fs.readFileSync(path));
const MB = 1_000_000;

function writeRandom(path: string, bytes: number): string {
  fs.writeFileSync(path, randomBytes(bytes));
  return path;
}

/** Runs an sftp batch; it fails with the first command that does. */
async function sftp(...commands: string[]): Promise<{ code: number | null; said: string }> {
  const args = ["-q", "-b", "-", "box"];
  const ran = await host.run("sftp", args, { stdin: `${commands.join("\n")}\n` });
  return { code: ran.code, said: ran.stdout.toString() + ran.stderr };
}

describeWith(["scp"], "scp", () => {
  it("puts a file of 200 MB, whole", async () => {
    const file = writeRandom(host.path("ours", "big"), 200 * MB);
    const ran = await host.run("scp", [file, `box:${host.path("box", "big")}`]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(hashOf(host.path("box", "big"))).toBe(hashOf(file));
  });

  it("gets a file of 200 MB, whole", async () => {
    const file = writeRandom(host.path("box", "big"), 200 * MB);
    const ran = await host.run("scp", [`box:${file}`, host.path("ours", "big")]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(hashOf(host.path("ours", "big"))).toBe(hashOf(file));
  });

  it("keeps its whole file while both sides change keys again and again", async () => {
    const file = writeRandom(host.path("ours", "f"), 20 * MB);
    const rekey = "-oRekeyLimit=2M";
    const up = await host.run("scp", [rekey, file, `box:${host.path("box", "f")}`]);
    expect(up).toMatchObject({ code: 0, stderr: "" });
    const down = await host.run("scp", [rekey, `box:${host.path("box", "f")}`, host.path("back")]);
    expect(down).toMatchObject({ code: 0, stderr: "" });
    expect(hashOf(host.path("back"))).toBe(hashOf(file));
  });

  it("copies a tree both ways, with modes and times", async () => {
    const tree = host.path("ours", "tree");
    fs.mkdirSync(`${tree}/sub/deeper`, { recursive: true });
    fs.writeFileSync(`${tree}/sub/deeper/tool`, "#!/bin/sh\n", { mode: 0o750 });
    fs.writeFileSync(`${tree}/with space & quote'`, "x");
    fs.utimesSync(`${tree}/sub/deeper/tool`, 1_000_000_000, 1_000_000_000);
    const up = await host.run("scp", ["-rp", tree, `box:${host.path("box")}`]);
    expect(up).toMatchObject({ code: 0, stderr: "" });
    const down = await host.run("scp", [
      "-rp",
      `box:${host.path("box", "tree")}`,
      host.path("back"),
    ]);
    expect(down).toMatchObject({ code: 0, stderr: "" });
    const tool = fs.statSync(host.path("back", "sub/deeper/tool"));
    expect({ mode: tool.mode & 0o7777, mtimeMs: tool.mtimeMs }).toEqual({
      mode: 0o750,
      mtimeMs: 1_000_000_000_000,
    });
    expect(fs.readFileSync(host.path("back", "with space & quote'"), "utf8")).toBe("x");
  });

  it("says what is not there", async () => {
    const ran = await host.run("scp", [`box:${host.path("box", "none")}`, host.path("back")]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("No such file or directory");
  });

  it("works with the old protocol too, through the sandbox's own scp", async () => {
    const file = writeRandom(host.path("ours", "f"), MB);
    const ran = await host.run("scp", ["-O", file, `box:${host.path("box", "f")}`]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(hashOf(host.path("box", "f"))).toBe(hashOf(file));
  });
});

describeWith(["sftp"], "sftp", () => {
  it("begins in the directory in which commands begin", async () => {
    const { code, said } = await sftp("pwd");
    expect({ code, said }).toEqual({
      code: 0,
      said: expect.stringContaining(`Remote working directory: ${process.cwd()}\n`),
    });
  });

  it("puts, lists, renames, links, gets and removes", async () => {
    const file = writeRandom(host.path("ours", "f"), 3 * MB);
    const { code, said } = await sftp(
      `cd ${host.path("box")}`,
      "mkdir directory",
      `put ${file} directory/f`,
      "chmod 640 directory/f",
      "rename directory/f directory/g",
      "symlink g directory/soft",
      "ln directory/g directory/hard",
      "ls -la directory",
      `get directory/soft ${host.path("back")}`,
      "df",
    );
    expect({ code, said }).toMatchObject({ code: 0 });
    expect(hashOf(host.path("back"))).toBe(hashOf(file));
    expect(fs.readlinkSync(host.path("box/directory/soft"))).toBe("g");
    expect(fs.statSync(host.path("box/directory/hard")).nlink).toBe(2);
    expect(said).toMatch(/^-rw-r----- .* 3000000 .* g$/m);
    expect(said).toMatch(/^lrwxrwxrwx .* soft$/m);

    const removed = await sftp(
      `cd ${host.path("box")}`,
      "rm directory/soft",
      "rm directory/hard",
      "rm directory/g",
      "rmdir directory",
    );
    expect(removed.code).toBe(0);
    expect(fs.readdirSync(host.path("box"))).toEqual([]);
  });

  it("replaces a file by a rename, as POSIX does", async () => {
    fs.writeFileSync(host.path("box", "old"), "old");
    fs.writeFileSync(host.path("box", "new"), "new");
    const { code } = await sftp(`rename ${host.path("box", "new")} ${host.path("box", "old")}`);
    expect(code).toBe(0);
    expect(fs.readFileSync(host.path("box", "old"), "utf8")).toBe("new");
  });

  it("replaces nothing by a rename of the protocol's own", async () => {
    fs.writeFileSync(host.path("box", "old"), "old");
    fs.writeFileSync(host.path("box", "new"), "new");
    const { code } = await sftp(`rename -l ${host.path("box", "new")} ${host.path("box", "old")}`);
    expect(code).toBe(1);
    expect(fs.readFileSync(host.path("box", "old"), "utf8")).toBe("old");
  });

  it("resumes a transfer both ways", async () => {
    const file = writeRandom(host.path("ours", "f"), 2 * MB);
    const half = fs.readFileSync(file).subarray(0, MB);
    fs.writeFileSync(host.path("box", "f"), half);
    fs.writeFileSync(host.path("back"), half);
    const { code } = await sftp(
      `reput ${file} ${host.path("box", "f")}`,
      `reget ${host.path("box", "f")} ${host.path("back")}`,
    );
    expect(code).toBe(0);
    expect(hashOf(host.path("box", "f"))).toBe(hashOf(file));
    expect(hashOf(host.path("back"))).toBe(hashOf(file));
  });

  it("lists a directory of thousands", async () => {
    const names = Array.from({ length: 3_000 }, (_, index) => `file-${index}`);
    for (const name of names) fs.writeFileSync(host.path("box", name), "");
    const { said } = await sftp(`ls -1 ${host.path("box")}`);
    const listed = said.split("\n").filter((line) => line.includes("/file-"));
    expect(listed).toHaveLength(names.length);
  });

  it.each([
    ["ls /belay/no/such", /not found|No such file/],
    ["put /etc/hosts /proc/belay-none", /No such file|Permission denied|Failure/],
    ["mkdir /proc", /Failure/],
    ["rmdir /etc", /Failure/],
    ["get /etc /tmp", /not a regular file/],
  ])("says why it cannot: %s", async (command, why) => {
    const { code, said } = await sftp(command);
    expect(code).toBe(1);
    expect(said).toMatch(why);
  });
});

describeWith(["rsync", "ssh"], "rsync", () => {
  it("brings a tree to the sandbox and back", async () => {
    const tree = host.path("ours", "tree");
    fs.mkdirSync(`${tree}/sub`, { recursive: true });
    for (let index = 0; index < 200; index += 1) writeRandom(`${tree}/sub/${index}`, 20_000);
    writeRandom(`${tree}/big`, 20 * MB);
    const shell = `ssh -F ${host.config}`;
    const up = await run("rsync", ["-a", "-e", shell, `${tree}/`, `box:${host.path("box")}/`]);
    expect(up).toMatchObject({ code: 0, stderr: "" });
    const down = await run("rsync", [
      "-a",
      "-e",
      shell,
      `box:${host.path("box")}/`,
      host.path("b"),
    ]);
    expect(down).toMatchObject({ code: 0, stderr: "" });
    const compared = await run("diff", ["-r", tree, host.path("b")]);
    expect(compared).toMatchObject({ code: 0, stderr: "" });
  });
});
