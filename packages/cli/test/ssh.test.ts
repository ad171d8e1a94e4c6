import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BelayError } from "@belay/client";
import type { FakeTarget } from "@belay/client/testing";
import { BelayChild } from "./support/child.ts";
import { belay } from "./support/in-process.ts";
import { serve } from "./support/serve.ts";
import type { ServedGateway } from "./support/serve.ts";

let gateway: ServedGateway;

beforeEach(async () => {
  gateway = await serve();
});
afterEach(() => gateway[Symbol.asyncDispose]());

const echo: FakeTarget = (input) => input;
/** All bytes that there are, so that nothing may read them as text. */
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

function start(...argv: string[]): BelayChild {
  return new BelayChild(argv, { url: gateway.url });
}

describe("belay ssh-proxy", () => {
  it("joins its stdin and stdout to the SSH server, byte by byte, until that ends", async () => {
    gateway.fake.targets.set(22, echo);
    await using proxy = start("ssh-proxy", "demo");
    const sent = Buffer.concat(Array.from({ length: 4_000 }, () => everyByte));
    proxy.process.stdin.end(sent);
    expect(await proxy.ended()).toBe(0);
    expect(proxy.stdout.equals(sent)).toBe(true);
    expect(proxy.stderr).toBe("");
    expect(gateway.fake.tokens.size).toBe(0);
  });

  it("exits with 255 and says why when the connection breaks", async () => {
    gateway.fake.targets.set(22, echo);
    const broken = new BelayError("relay_dropped", "relay channel dropped", { outcome: "unknown" });
    gateway.fake.faults = { onForwardFrame: (frame) => (frame === 1 ? broken : undefined) };
    await using proxy = start("ssh-proxy", "demo");
    proxy.process.stdin.write("one");
    await once(proxy.process.stdout, "data");
    proxy.process.stdin.write("two");
    expect(await proxy.ended()).toBe(255);
    expect(proxy.stderr).toBe(
      "belay: the connection to demo broke: relay channel dropped (relay_dropped)\n",
    );
    expect(gateway.fake.tokens.size).toBe(0);
  });

  it("exits with 255 and says what to do when there is no such sandbox", async () => {
    await using proxy = start("ssh-proxy", "nowhere");
    expect(await proxy.ended()).toBe(255);
    expect(proxy.stderr).toContain("sandbox not found (sandbox_not_found)\n  `belay sandboxes`");
  });

  it.each(["SIGHUP", "SIGTERM"] as const)(
    "ends its input at %s, and leaves no token",
    async (signal) => {
      let inputEnded = false;
      gateway.fake.targets.set(22, async function* (input) {
        for await (const data of input) yield data;
        inputEnded = true;
      });
      await using proxy = start("ssh-proxy", "demo");
      proxy.process.stdin.write("x");
      await once(proxy.process.stdout, "data");
      proxy.process.kill(signal);
      expect(await proxy.ended()).toBe(signal === "SIGHUP" ? 129 : 143);
      expect(inputEnded).toBe(true);
      expect(gateway.fake.tokens.size).toBe(0);
    },
  );
});

describe("belay ssh-config", () => {
  it("prints a block per sandbox, that runs this program with these settings", async () => {
    const env = { BELAY_GATEWAY: "https://gw.example:8443/", BELAY_TOKEN: "s3cret" };
    const { exitCode, stdout, stderr } = await belay(["ssh-config", "one", "two"], env);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout.match(/^Host .*$/gm)).toEqual(["Host belay-one", "Host belay-two"]);
    expect(stdout).toContain(
      "  ProxyCommand '/opt/node 24/bin/node' /opt/belay.mjs ssh-proxy --gateway https://gw.example:8443/ one\n",
    );
    for (const line of ["User sandbox", "ServerAliveInterval 15", "ServerAliveCountMax 3"]) {
      expect(stdout).toContain(`\n  ${line}\n`);
    }
    expect(stdout).not.toContain("s3cret");
  });

  it("names files of its settings from the root, for the shell that ssh runs it with", async () => {
    const folder = await mkdtemp(join(tmpdir(), "belay 100% it's-"));
    const file = join(folder, "token");
    await writeFile(file, "s3cret");
    const { stdout } = await belay(["ssh-config", "demo"], {
      BELAY_TOKEN_FILE: relative(".", file),
    });
    await rm(folder, { recursive: true });
    const quoted = `'${file.replace("%", "%%").replace("'", "'\\''")}'`;
    expect(stdout).toContain(` ssh-proxy --token-file ${quoted} demo\n`);
    expect(stdout).not.toContain("s3cret");
  });

  it("names hosts with the prefix that is wanted", async () => {
    const { stdout } = await belay(["ssh-config", "--host-prefix", "", "demo"]);
    expect(stdout).toMatch(/^Host demo\n/);
  });

  it.each(["*", "a b", "!x", "a,b"])(
    "refuses %j, which ssh would not take for a name",
    async (name) => {
      const { exitCode, stdout, stderr } = await belay(["ssh-config", "demo", name]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 255, stdout: "" });
      expect(stderr).toContain("cannot be a host of ssh");
    },
  );
});

describe("belay forward", () => {
  async function listening(ports: string): Promise<{ child: BelayChild; port: number }> {
    const child = start("forward", "demo", ports);
    while (!child.stdout.includes("\n")) await once(child.process.stdout, "data");
    const [, port] = /^127\.0\.0\.1:(\d+)\n$/.exec(child.stdout.toString()) ?? [];
    return { child, port: Number(port) };
  }

  it("prints where it listens, carries connections, and ends at Ctrl-C", async () => {
    gateway.fake.targets.set(80, echo);
    const { child, port } = await listening("0:80");
    await using forward = child;
    const answers = ["one", "two", "three"].map(async (text) => {
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      socket.end(text);
      return (await buffer(socket)).toString();
    });
    expect(await Promise.all(answers)).toEqual(["one", "two", "three"]);
    forward.process.kill("SIGINT");
    expect(await forward.ended()).toBe(0);
    expect(forward.stderr).toBe("");
    expect(gateway.fake.tokens.size).toBe(0);
  });

  it("says why a connection was not carried, and goes on", async () => {
    const { child, port } = await listening("0:81");
    await using forward = child;
    const socket = connect({ host: "127.0.0.1", port });
    await expect(buffer(socket)).rejects.toMatchObject({ code: "ECONNRESET" });
    while (!forward.stderr.includes("\n")) await once(forward.process.stderr, "data");
    expect(forward.stderr).toContain("belay: connection to demo:81: tcp target refused");
    expect(forward.process.exitCode).toBeNull();
  });

  it("says so when the port is in use here", async () => {
    const { child, port } = await listening("0:80");
    await using _first = child;
    await using second = start("forward", "demo", `${port}:80`);
    expect(await second.ended()).toBe(255);
    expect(second.stderr).toContain(`port ${port} is in use; 0:80 takes a free one`);
  });

  it.each(["x", "0", "70000", "1:2:3", "80:0"])("refuses %j", async (ports) => {
    const { exitCode, stderr } = await belay(["forward", "demo", ports]);
    expect(exitCode).toBe(255);
    expect(stderr).toContain("is no [LOCAL:]PORT");
  });
});
