// ssh-host.ts: our SSH server on a port of loopback, where OpenSSH finds it: each connection is a relay.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RelayPipe } from "@belay/relay-core";
import { ExecBench } from "../../support/exec-bench.ts";
import type { BenchOptions } from "../../support/exec-bench.ts";
import { run, RunningProgram } from "./programs.ts";
import type { Ran, RunOptions } from "./programs.ts";

export class SshHost implements AsyncDisposable {
  readonly bench: ExecBench;
  /** For the files of a test. */
  readonly directory: string;
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
  readonly #sockets = new Set<Socket>();

  private constructor(options: BenchOptions) {
    this.bench = new ExecBench(options);
    this.directory = mkdtempSync(join(tmpdir(), "belay-openssh-"));
  }

  static async start(options: BenchOptions = {}): Promise<SshHost> {
    const host = new SshHost(options);
    await new Promise<void>((resolve) => host.#server.listen(0, "127.0.0.1", resolve));
    writeFileSync(host.config, host.#configText());
    return host;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** As `belay ssh-config` would print it: a host named `box`. */
  get config(): string {
    return join(this.directory, "config");
  }

  path(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** `ssh box …` */
  ssh(args: readonly string[], options?: RunOptions): Promise<Ran> {
    return this.run("ssh", args, options);
  }

  /** One of OpenSSH's programs that take `-F`. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    return run(program, ["-F", this.config, ...args], options);
  }

  start(args: readonly string[], options?: RunOptions): RunningProgram {
    return new RunningProgram("ssh", ["-F", this.config, ...args], options);
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    const pipe = new RelayPipe();
    // As the gateway ends the relay of a client that has gone, however it went.
    socket.once("close", () => {
      this.#sockets.delete(socket);
      pipe.once("end", () => pipe.destroy());
      pipe.receiveEnd();
    });
    await this.bench.serve(pipe, "locale");
    await Promise.all([receiveAll(socket, pipe), sendAll(pipe, socket)]);
  }

  #configText(): string {
    return [
      "Host box",
      "  HostName 127.0.0.1",
      `  Port ${this.port}`,
      "  User sandbox",
      "  StrictHostKeyChecking no",
      "  UserKnownHostsFile /dev/null",
      "  LogLevel ERROR",
      "  SendEnv LANG LC_* SECRET_OF_DESK",
      "",
    ].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await this.bench[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function receiveAll(socket: Socket, pipe: RelayPipe): Promise<void> {
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      await pipe.receive(chunk as Buffer);
    }
    pipe.receiveEnd();
  } catch {
    // its `close` says so
  }
}

async function sendAll(pipe: RelayPipe, socket: Socket): Promise<void> {
  for (let data = await pipe.nextFrame(); data; data = await pipe.nextFrame()) {
    if (socket.destroyed) return;
    if (socket.write(data)) continue;
    await new Promise<void>((resolve) => {
      socket.once("drain", resolve);
      socket.once("close", () => resolve());
    });
  }
  socket.end();
}
