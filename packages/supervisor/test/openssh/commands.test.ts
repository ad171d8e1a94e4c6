// commands.test.ts: `ssh host command` and `ssh host`, with OpenSSH's own client.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pidsOf, uniqueSleep } from "../support/processes.ts";
import { slowReader } from "../support/slow-reader.ts";
import { until } from "../support/until.ts";
import { describeWith } from "./support/programs.ts";
import { SshHost } from "./support/ssh-host.ts";

let host: SshHost;

beforeEach(async () => {
  host = await SshHost.start();
});

afterEach(async () => {
  await host[Symbol.asyncDispose]();
});

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const MiB = 1024 * 1024;

describeWith(["ssh"], "ssh host command", () => {
  it.each([0, 1, 42, 255])("exits with the command's code %i", async (code) => {
    const ran = await host.ssh(["box", `echo out; echo err >&2; exit ${code}`]);
    expect(ran).toMatchObject({ code, stderr: "err\n" });
    expect(ran.stdout.toString()).toBe("out\n");
  });

  it("tells the signal that ended the command", async () => {
    const ran = await host.ssh(["-v", "-oLogLevel=DEBUG1", "box", "kill -TERM $$"]);
    expect(ran.code).toBe(255);
    expect(ran.stderr).toContain("rtype exit-signal");
  });

  it("passes input of 100 MB on, to its end", async () => {
    const input = randomBytes(100_000_000);
    writeFileSync(host.path("input"), input);
    const ran = await host.ssh(["box", `cat > ${host.path("f")}`], {
      stdin: createReadStream(host.path("input")),
    });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(readFileSync(host.path("f")))).toBe(sha256(input));
  });

  it("passes output on, while both sides change keys again and again", async () => {
    const data = randomBytes(30 * MiB);
    writeFileSync(host.path("output"), data);
    const ran = await host.ssh(["-oRekeyLimit=2M", "box", `cat ${host.path("output")}`]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(ran.stdout)).toBe(sha256(data));
  });

  it("passes input on, while both sides change keys again and again", async () => {
    const data = randomBytes(30 * MiB);
    const ran = await host.ssh(["-oRekeyLimit=2M", "box", "sha256sum"], { stdin: data });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout.toString().slice(0, 64)).toBe(sha256(data));
  });

  it("passes both outputs on at once to a slow reader, beyond the window", async () => {
    const lines = (name: string) => `yes ${name} | head -c ${8 * MiB}`;
    const { child, exitCode } = host.start(["box", `${lines("out")} & ${lines("err")} >&2; wait`]);
    const pace = { startAfterMs: 500, pauseEveryBytes: MiB, pauseMs: 20 };
    const [stdout, stderr] = await Promise.all([
      slowReader(child.stdout, pace),
      slowReader(child.stderr, pace),
    ]);
    expect(stdout.equals(Buffer.alloc(8 * MiB, "out\n"))).toBe(true);
    expect(stderr.equals(Buffer.alloc(8 * MiB, "err\n"))).toBe(true);
    await expect(exitCode).resolves.toBe(0);
  });

  it("takes variables of the locale, and ignores the others without failing", async () => {
    const env = { LC_TIME: "de_DE.UTF-8", SECRET_OF_DESK: "s3cret" };
    const ran = await host.ssh(["box", 'echo "$LC_TIME|$SECRET_OF_DESK"'], { env });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout.toString()).toBe("de_DE.UTF-8|\n");
  });

  it("whose client is killed ends with all its processes", async () => {
    const mark = uniqueSleep();
    const { child, exitCode } = host.start(["box", `sleep ${mark} & sleep ${mark}`]);
    const live = () => pidsOf(`sleep\0${mark}\0`);
    await until("it runs", () => live().length === 2);
    child.kill("SIGKILL");
    await exitCode;
    expect(await until("all have ended", () => live().length === 0)).toBe(true);
  });

  it("survives what its client asks to stay alive", async () => {
    const ran = await host.ssh([
      "-oServerAliveInterval=1",
      "-oServerAliveCountMax=1",
      "box",
      "sleep 3",
    ]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
  });
});

describeWith(["ssh"], "ssh -tt", () => {
  it("gives a terminal, and the command's code", async () => {
    const ran = await host.ssh(["-tt", "box", "test -t 0 && tty && echo $TERM; exit 7"], {
      env: { TERM: "vt100" },
    });
    expect(ran.code).toBe(7);
    expect(ran.stdout.toString()).toMatch(/^\/dev\/pts\/\d+\r\nvt100\r\n$/);
  });

  it("gives an interactive login shell", async () => {
    const ran = await host.ssh(["-tt", "box"], {
      stdin: "echo flags=$-; tr '\\0' ' ' < /proc/$$/cmdline; echo; exit 3\n",
    });
    expect(ran.code).toBe(3);
    expect(ran.stdout.toString()).toMatch(/flags=\w*i/);
    expect(ran.stdout.toString()).toContain("/bin/sh -l");
  });

  it("hands Ctrl-C to the program in front", async () => {
    const mark = uniqueSleep();
    const { child, exitCode } = host.start(["-tt", "box", `sleep ${mark}`], {
      stdin: new Readable({ read() {} }),
    });
    await until("it runs", () => pidsOf(`sleep\0${mark}\0`).length === 1);
    child.stdin.write("\x03");
    await until("it has ended", () => pidsOf(`sleep\0${mark}\0`).length === 0);
    expect(await exitCode).not.toBe(0);
  });
});

describeWith(["ssh"], "ssh host < script", () => {
  it("runs the script in a login shell, without a terminal", async () => {
    const ran = await host.ssh(["-T", "box"], { stdin: "test -t 0 || echo none\nexit 9\n" });
    expect(ran).toMatchObject({ code: 9, stderr: "" });
    expect(ran.stdout.toString()).toBe("none\n");
  });
});

describeWith(["ssh"], "what a sandbox gives to nobody", () => {
  it("is an agent or X11: both are refused, and the command runs", async () => {
    const ran = await host.ssh(["-A", "-X", "box", 'echo "[$SSH_AUTH_SOCK$DISPLAY]"'], {
      env: { DISPLAY: ":0" },
    });
    expect(ran.code).toBe(0);
    expect(ran.stdout.toString()).toBe("[]\n");
  });

  it.each(["-R0:127.0.0.1:1", "-R/tmp/belay-no-socket:127.0.0.1:1"])(
    "is a port of the client: %s is refused",
    async (flag) => {
      const ran = await host.ssh(["-oExitOnForwardFailure=yes", flag, "box", "echo ran"]);
      expect(ran.code).toBe(255);
      expect(ran.stderr).toContain("remote port forwarding failed");
    },
  );
});
