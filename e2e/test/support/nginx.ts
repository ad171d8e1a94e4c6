// nginx.ts: a real nginx in front of a gateway, with the locations that our documentation gives people to copy.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { poll, within } from "../../src/wait.ts";
import { findFreePort } from "./free-port.ts";
import { findProgram } from "./needs-program.ts";

export interface NginxOptions {
  gatewayUrl: string;
  /** What stands in the `server` that speaks HTTP/2, and in the one that speaks HTTP/1.1. The upstream is named `belay`. */
  locations: { http2: string; http1: string };
  /** Of every idle timeout; nginx has 60 s. */
  idleSeconds?: number;
}

/** A port that we found free may be taken before nginx has it. */
const maxTries = 3;
const stepLimitMs = 10_000;

export async function startNginx(options: NginxOptions): Promise<Nginx> {
  for (let tries = 1; ; tries += 1) {
    const nginx = await Nginx.start(options);
    try {
      await nginx.listening();
      return nginx;
    } catch (error) {
      await nginx[Symbol.asyncDispose]();
      if (tries === maxTries || !nginx.said.includes("Address already in use")) throw error;
    }
  }
}

export class Nginx implements AsyncDisposable {
  /** What it wrote to its error log. */
  said = "";
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #folder: string;
  readonly #ports: { http2: number; http1: number };

  static async start(options: NginxOptions): Promise<Nginx> {
    const ports = { http2: await findFreePort(), http1: await findFreePort() };
    const folder = await mkdtemp(join(tmpdir(), "belay-nginx-"));
    await writeFile(join(folder, "nginx.conf"), configuration(options, ports));
    return new Nginx(folder, ports);
  }

  private constructor(folder: string, ports: { http2: number; http1: number }) {
    this.#folder = folder;
    this.#ports = ports;
    const program = findProgram("nginx") ?? "nginx";
    this.#child = spawn(program, ["-p", folder, "-c", "nginx.conf", "-e", "stderr"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#child.once("error", () => resolve());
    this.#child.once("close", () => resolve());
    this.#ended = promise;
    process.once("exit", this.#kill);
  }

  /** Speaks HTTP/2, to clients and to the gateway. */
  get http2Url(): string {
    return `http://127.0.0.1:${this.#ports.http2}`;
  }

  /** Speaks HTTP/1.1, to clients and to the gateway. */
  get http1Url(): string {
    return `http://127.0.0.1:${this.#ports.http1}`;
  }

  async listening(): Promise<void> {
    for (const port of Object.values(this.#ports)) {
      await poll(
        "nginx to listen",
        async () => {
          if (this.#child.exitCode !== null) throw new Error(`nginx ended: ${this.said}`);
          return await accepts(port);
        },
        { limitMs: stepLimitMs, detail: () => this.said },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.removeListener("exit", this.#kill);
    this.#child.kill("SIGTERM");
    try {
      await within("nginx to stop", stepLimitMs, this.#ended);
    } catch {
      this.#kill();
      await within("nginx to be killed", stepLimitMs, this.#ended);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #kill = (): void => void this.#child.kill("SIGKILL");
}

function configuration(
  { gatewayUrl, locations, idleSeconds = 60 }: NginxOptions,
  ports: { http2: number; http1: number },
): string {
  const idle = `${idleSeconds}s`;
  return `
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path client-body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;

  grpc_read_timeout ${idle};
  grpc_send_timeout ${idle};
  proxy_read_timeout ${idle};
  proxy_send_timeout ${idle};
  client_body_timeout ${idle};
  send_timeout ${idle};

  upstream belay { server ${new URL(gatewayUrl).host}; }
  server {
    listen 127.0.0.1:${ports.http2} http2;
    ${locations.http2}
  }
  server {
    listen 127.0.0.1:${ports.http1};
    ${locations.http1}
  }
}
`;
}

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: "127.0.0.1" });
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
