import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { commandLine } from "../../src/exec/command-line.ts";
import type { PlainCommand } from "../../src/exec/command-line.ts";
import { installedShells } from "../support/shells.ts";
import { tempDir } from "../support/temp-dir.ts";

const maxBytes = 128 * 1024;

function line(command: string[], known: Partial<PlainCommand> = {}): string {
  return commandLine({ command, workdir: "", inlineEnvironment: {}, ...known }, { maxBytes });
}

function run(shell: string, text: string, options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  return spawnSync(shell, ["-c", text], { encoding: "utf8", ...options });
}

describe.each(installedShells)("commandLine, run by %s,", (shell) => {
  it("enters the workdir, and says nothing about it", async () => {
    await using dir = await tempDir();
    const result = run(shell, line(["pwd", "-P"], { workdir: dir.path }));
    expect(result.stdout).toBe(`${realpathSync(dir.path)}\n`);
    expect(result.stderr).toBe("");
  });

  it.each(["-", "-P", "--", "sub dir", "it's", "~", "$HOME", "new\nline"])(
    "enters the relative workdir %j and none other",
    async (name) => {
      await using dir = await tempDir();
      const make = `mkdir -p -- './${name.replaceAll("'", `'\\''`)}'`;
      expect(run(shell, make, { cwd: dir.path }).status).toBe(0);
      const env = { ...process.env, OLDPWD: "/", CDPATH: "/usr:/" };
      const result = run(shell, line(["pwd", "-P"], { workdir: name }), { cwd: dir.path, env });
      expect(result.stdout).toBe(`${realpathSync(dir.path)}/${name}\n`);
    },
  );

  it("is not led elsewhere by CDPATH", async () => {
    await using dir = await tempDir();
    const env = { ...process.env, CDPATH: "/usr" };
    const result = run(shell, line(["pwd"], { workdir: "bin" }), { cwd: dir.path, env });
    expect([result.status, result.stdout]).toEqual([126, ""]);
  });

  it.each(["/does/not/exist", "/etc/passwd", "missing"])(
    "ends with 126 and the shell's message for the workdir %s, and runs nothing",
    (workdir) => {
      const result = run(shell, line(["echo", "ran"], { workdir }));
      expect([result.status, result.stdout]).toEqual([126, ""]);
      expect(result.stderr).toContain(workdir);
    },
  );

  it("sets the environment, and nothing but it", () => {
    const inlineEnvironment = { A: "it's", B_2: "", _c: 'two\nlines "quoted" $HOME `x` \\' };
    const script = 'printf "%s|%s|%s" "$A" "$B_2" "$_c"';
    const result = run(shell, line(["sh", "-c", script], { inlineEnvironment }));
    expect(result.stdout).toBe(`it's||${inlineEnvironment._c}`);
    expect(result.stderr).toBe("");
  });

  it.each([0, 1, 42, 255])("passes exit code %i on", (code) => {
    expect(run(shell, line(["sh", "-c", `exit ${code}`])).status).toBe(code);
  });

  it.each(["TERM", "KILL", "SEGV"])("lets an end by %s be one: no shell stands between", (name) => {
    const result = run(shell, line(["sh", "-c", `kill -${name} $$`], { workdir: "/" }));
    expect([result.status, result.signal]).toEqual([null, `SIG${name}`]);
  });

  it.each(["-a", "-c", "-l", "--", "-", "--help"])(
    "takes %s for the name of a program, never for an option of the shell",
    (name) => {
      const result = run(shell, line([name, "echo", "ran"]));
      expect([result.status, result.stdout]).toEqual([127, ""]);
    },
  );

  it.each(["A=b", "if", "cd", "export", "!", "{"])("runs no shell word: %s", (name) => {
    expect(run(shell, line([name, "true"])).status).toBe(127);
  });
});

describe("commandLine", () => {
  it("is readable where nothing needs quotes", () => {
    expect(line(["ls", "-la", "/tmp/a.b:c@d%e+f,g_h"])).toBe("exec ls -la /tmp/a.b:c@d%e+f,g_h");
  });

  it("is refused when it is longer than the limit, by bytes as quoted", () => {
    const command = { command: ["é'"], workdir: "", inlineEnvironment: {} };
    const whole = commandLine(command, { maxBytes });
    const bytes = Buffer.byteLength(whole);
    expect(commandLine(command, { maxBytes: bytes })).toBe(whole);
    expect(() => commandLine(command, { maxBytes: bytes - 1 })).toThrow(
      expect.objectContaining({
        kind: "invalid_request",
        message: `command line is longer than ${bytes - 1} bytes, quoted`,
        outcome: "not_started",
      }),
    );
  });
});
