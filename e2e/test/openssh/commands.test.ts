// `ssh host command`, `ssh -tt` and scripts on stdin, with OpenSSH's own client through `belay ssh-proxy`.
import { createReadStream } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { describeWith } from "../support/needs-program.ts";
import { runProgram } from "../support/run-program.ts";
import { MB, hashOf, randomFile, sha256 } from "./support/files.ts";
import { readSlowly } from "./support/slow-reader.ts";
import { SshClient, box } from "./support/ssh-client.ts";

let deployment: Deployment;
let client: SshClient;
beforeAll(async () => {
  deployment = await startDeployment();
  client = await SshClient.of(deployment);
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await deployment[Symbol.asyncDispose]();
});

describeWith(["ssh"], "ssh host command", () => {
  it.each([0, 1, 42, 255])("exits with the command's code %i", async (code) => {
    const ran = await client.ssh([box, `echo out; echo err >&2; exit ${code}`]);
    expect(ran).toMatchObject({ code, stderr: "err\n" });
    expect(ran.stdout.toString()).toBe("out\n");
  });

  it("tells the signal that ended the command", async () => {
    const ran = await client.ssh(["-v", "-oLogLevel=DEBUG1", box, "kill -TERM $$"]);
    expect(ran.code).toBe(255);
    expect(ran.stderr).toContain("rtype exit-signal");
  });

  it("writes all of a large input", async () => {
    const input = await randomFile(client.path("input"), 60 * MB);
    const ran = await client.ssh([box, `cat > ${client.path("written")}`], {
      stdin: createReadStream(input),
      limitMs: 60_000,
    });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(await hashOf(client.path("written"))).toBe(await hashOf(input));
  });

  it("reads all of a large output", async () => {
    const output = await randomFile(client.path("output"), 60 * MB);
    const ran = await client.ssh([box, `cat ${output}`], { limitMs: 60_000 });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(sha256(ran.stdout)).toBe(await hashOf(output));
  });

  it("loses nothing while both sides change keys again and again, both ways at once", async () => {
    const input = await randomFile(client.path("echoed"), 20 * MB);
    const ran = await client.ssh(["-oRekeyLimit=2M", "-v", "-oLogLevel=DEBUG1", box, "cat"], {
      stdin: createReadStream(input),
      limitMs: 60_000,
    });
    expect(ran.code, ran.stderr).toBe(0);
    expect(sha256(ran.stdout)).toBe(await hashOf(input));
    expect(ran.stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length).toBeGreaterThan(5);
  });

  it("gives both outputs to slow readers, beyond every window", async () => {
    const MiB = 1024 * 1024;
    const lines = (name: string) => `yes ${name} | head -c ${8 * MiB}`;
    const { child, exited } = client.start([box, `${lines("out")} & ${lines("err")} >&2; wait`]);
    const pace = { startAfterMs: 500, pauseEveryBytes: MiB, pauseMs: 20 };
    const [stdout, stderr] = await Promise.all([
      readSlowly(child.stdout, pace),
      readSlowly(child.stderr, pace),
    ]);
    expect(stdout.equals(Buffer.alloc(8 * MiB, "out\n"))).toBe(true);
    expect(stderr.equals(Buffer.alloc(8 * MiB, "err\n"))).toBe(true);
    expect(await exited).toBe(0);
  });

  it("stays while its client asks again and again whether it is there", async () => {
    const ran = await client.ssh([
      "-oServerAliveInterval=1",
      "-oServerAliveCountMax=1",
      box,
      "sleep 3; echo still here",
    ]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout.toString()).toBe("still here\n");
  });
});

describeWith(["ssh"], "ssh -T host sh", () => {
  it("runs a script that comes on stdin, as editors do", async () => {
    const stdin = 'echo "begin $0"; test -t 0 || echo no terminal; (sleep 0.2; echo end); exit 9\n';
    const ran = await client.ssh(["-T", "-oConnectTimeout=15", box, "sh"], { stdin });
    expect(ran).toMatchObject({ code: 9, stderr: "" });
    expect(ran.stdout.toString()).toBe("begin sh\nno terminal\nend\n");
  });
});

describeWith(["ssh", "script"], "ssh -tt", () => {
  it("gives a terminal of our size, and the command's code", async () => {
    const ssh = `ssh -F ${client.config} -tt ${box} 'test -t 0; stty size; echo $TERM; exit 7'`;
    const inTerminal = ["-qec", `stty cols 123 rows 45; ${ssh}`, "/dev/null"];
    const ran = await runProgram("script", inTerminal, { env: { TERM: "vt100" } });
    expect(ran.code).toBe(7);
    // `script` tells its end of input to the terminal, which shows it.
    expect(ran.stdout.toString()).toMatch(/45 123\r\nvt100\r\n$/);
  });

  it("gives an interactive login shell", async () => {
    const ran = await client.ssh(["-tt", box], { stdin: "echo flags=$-; exit 3\n" });
    expect(ran.code).toBe(3);
    expect(ran.stdout.toString()).toMatch(/flags=\w*i/);
  });
});
