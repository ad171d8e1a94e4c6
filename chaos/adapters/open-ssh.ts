// open-ssh.ts: plain `ssh` to an OpenSSH server on loopback, so that Belay's numbers have something beside
// them. One server, one fault proxy per sandbox, one ssh process per exec.
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { poll, sleepMs, startFaultProxy, within } from "@belay/e2e";
import type { FaultProxy } from "@belay/e2e";
import type { Fault, FaultKind } from "../faults/fault.ts";
import { Markers } from "../work/markers.ts";
import type { Adapter, Call, CallInit, Holdings, LogEntry } from "./adapter.ts";
import { strikePath } from "./belay-strikes.ts";
import type { LabConfig } from "./lab-config.ts";
import { OpenSshCall } from "./open-ssh-call.ts";

const run = promisify(execFile);

export interface OpenSshOptions {
  sandboxes: number;
  config: LabConfig;
  /** ServerAliveInterval and CountMax of the client, as short as Belay's keepalive. Without: ssh's defaults. */
  keepalive: boolean;
}

const serverPaths = ["/usr/sbin/sshd", "/usr/lib/ssh/sshd", "/usr/local/sbin/sshd"];
const paths: ReadonlySet<FaultKind> = new Set([
  "cut",
  "black-hole",
  "delay",
  "throttle",
  "idle-close",
]);

/** Throws where no OpenSSH server is installed. */
export async function startOpenSsh(options: OpenSshOptions): Promise<Adapter> {
  const installed = await Promise.all(serverPaths.map((path) => exists(path)));
  const sshd = serverPaths[installed.indexOf(true)];
  if (sshd === undefined) throw new Error("no OpenSSH server is installed here");
  const folder = await mkdtemp(join(tmpdir(), "belay-chaos-ssh-"));
  try {
    const port = await freePort();
    const server = await startServer(sshd, folder, port);
    const proxies: FaultProxy[] = [];
    for (let seed = 1; seed <= options.sandboxes; seed++)
      proxies.push(await startFaultProxy({ targetPort: port, seed }));
    return new OpenSshAdapter({ folder, server, proxies, options });
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class OpenSshAdapter implements Adapter {
  readonly name = "ssh";
  readonly markers = new Markers();
  readonly sandboxes: number;
  readonly crashes: string[] = [];
  readonly #folder: string;
  readonly #server: ChildProcess;
  readonly #proxies: FaultProxy[];
  readonly #options: OpenSshOptions;

  constructor(init: {
    folder: string;
    server: ChildProcess;
    proxies: FaultProxy[];
    options: OpenSshOptions;
  }) {
    this.#folder = init.folder;
    this.#server = init.server;
    this.#proxies = init.proxies;
    this.#options = init.options;
    this.sandboxes = init.options.sandboxes;
  }

  #proxy(sandbox: number): FaultProxy {
    const proxy = this.#proxies[sandbox];
    if (proxy === undefined) throw new Error(`there is no sandbox ${sandbox}`);
    return proxy;
  }

  call(init: CallInit): Call {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.#options.config;
    const everySeconds = Math.ceil(keepaliveIntervalMs / 1_000);
    const times = Math.ceil(keepaliveTimeoutMs / keepaliveIntervalMs);
    const settings = {
      BatchMode: "yes",
      StrictHostKeyChecking: "no",
      UserKnownHostsFile: "/dev/null",
      IdentitiesOnly: "yes",
      ...(this.#options.keepalive && {
        ServerAliveInterval: everySeconds,
        ServerAliveCountMax: times,
        ConnectTimeout: Math.ceil(this.#options.config.sshReadyMs / 1_000),
      }),
    };
    return new OpenSshCall(init, {
      args: [
        "-F",
        "none",
        "-T",
        `-i${join(this.#folder, "client")}`,
        `-p${this.#proxy(init.exec.sandbox).port}`,
        ...Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
        `${userInfo().username}@127.0.0.1`,
      ],
      // Its own words go there, and not among those of the command.
      logFile: join(this.#folder, `log-${init.exec.n}`),
    });
  }

  supports(kind: FaultKind): boolean {
    return paths.has(kind);
  }

  async strike(fault: Fault, sandbox: number, note: (text: string) => void): Promise<void> {
    await strikePath(this.#proxy(sandbox), fault, note);
    await sleepMs(400);
  }

  /** Nothing lives longer than its exec, but for the server. */
  holdings(): Promise<Holdings[]> {
    return Promise.resolve([]);
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }

  gauges(): Promise<Record<string, number>> {
    return Promise.resolve({});
  }

  logs(): LogEntry[] {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.once("exit", () => resolve());
    this.#server.kill("SIGTERM");
    await within("the ssh server to end", 5_000, promise);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function startServer(sshd: string, folder: string, port: number): Promise<ChildProcess> {
  for (const name of ["host", "client"])
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  await writeFile(join(folder, "authorized"), await readFile(join(folder, "client.pub")));
  // OpenSSH insists on this folder when it runs as root.
  if (userInfo().uid === 0) await mkdir("/run/sshd", { recursive: true });
  const settings = {
    Port: port,
    ListenAddress: "127.0.0.1",
    HostKey: join(folder, "host"),
    AuthorizedKeysFile: join(folder, "authorized"),
    PidFile: "none",
    StrictModes: "no",
    UsePAM: "no",
    PermitRootLogin: "yes",
    // None of its limits is what is measured.
    MaxStartups: 1000,
    MaxSessions: 1000,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} ${value}\n`);
  await writeFile(join(folder, "config"), lines.join(""));
  const server = spawn(sshd, ["-D", "-e", "-f", join(folder, "config")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  server.stderr.on("data", (bytes: Buffer) => {
    if (said.length < 4_000) said += bytes.toString();
  });
  await poll("the ssh server", () => said.includes("listening on"), { detail: () => said });
  return server;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
