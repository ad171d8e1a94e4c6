// exec-bench.ts: the supervisor's execs, with an SSH client of this process at the other end of a relay.
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import ssh2 from "ssh2";
import type { Client, ClientChannel, ExecOptions } from "ssh2";
import { systemClock } from "@belay/relay-core";
import type { RelayPipe } from "@belay/relay-core";
import { defaultLimits } from "../../src/limits.ts";
import type { SupervisorLimits } from "../../src/limits.ts";
import { inheritedEnvironment } from "../../src/execs/exec-environment.ts";
import { DurableExecs } from "../../src/execs/durable/durable-execs.ts";
import { ExecTable } from "../../src/execs/exec-table.ts";
import { LogBudget } from "../../src/execs/log/log-budget.ts";
import { spillDirectory } from "../../src/execs/log/spill-file.ts";
import type { ExecCgroups } from "../../src/process/exec-cgroup.ts";
import { PipePool } from "../../src/process/pipe-pool.ts";
import type { AcceptedVariables } from "../../src/ssh/session-requests.ts";
import { SshServer } from "../../src/ssh/ssh-server.ts";
import { pipePair } from "./pipe-pair.ts";
import type { PipePair } from "./pipe-pair.ts";
import { SubsystemClient } from "./subsystem-client.ts";
import { RecordingLog } from "./recording-log.ts";
import { until } from "./until.ts";

/** Those that ssh2's client would not send. */
const constants = createRequire(import.meta.url)("ssh2/lib/protocol/constants.js") as {
  SIGNALS: Record<string, number>;
};
Object.assign(constants.SIGNALS, { NONSENSE: 1, WINCH: 1 });

export interface BenchOptions {
  readonly limits?: Partial<SupervisorLimits>;
  readonly environment?: Record<string, string>;
  readonly shell?: string;
  readonly cgroups?: ExecCgroups | undefined;
}

export interface Finished {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Whether the server sent an EOF before its close: the output is complete. */
  readonly eof: boolean;
}

export class ExecBench implements AsyncDisposable {
  readonly log = new RecordingLog();
  readonly limits: SupervisorLimits;
  readonly execs: ExecTable;
  readonly pool: PipePool;
  readonly durable: DurableExecs;
  readonly draining = new AbortController();
  readonly #ssh: SshServer;
  readonly #pairs: PipePair[] = [];

  constructor(options: BenchOptions = {}) {
    const { limits = {}, environment = {}, shell = "/bin/sh", cgroups } = options;
    const clock = systemClock;
    this.limits = {
      ...defaultLimits,
      terminationGraceMs: 300,
      killWaitMs: 3_000,
      ...limits,
    };
    this.execs = new ExecTable({
      limits: this.limits,
      clock,
      log: this.log,
      shell,
      inherited: inheritedEnvironment({ PATH: process.env["PATH"], ...environment }),
      draining: this.draining.signal,
      cgroups,
    });
    this.pool = new PipePool({
      size: this.limits.pooledPipes,
      helperMs: this.limits.pipeHelperMs,
      clock,
      onUnsupported: (cause) => this.log.error("pipes.unsupported", { err: cause }),
    });
    this.durable = new DurableExecs({
      execs: this.execs,
      pipePool: this.pool,
      limits: this.limits,
      clock,
      log: this.log,
      logBudget: new LogBudget(this.limits.execLog),
      spill: spillDirectory(tmpdir()),
      signal: new AbortController().signal,
    });
    this.#ssh = new SshServer({
      execs: this.execs,
      durable: this.durable,
      pipePool: this.pool,
      limits: this.limits,
      clock,
    });
  }

  /** A relay with an SSH connection on it, as the gateway makes one for each exec. */
  async connect(): Promise<SshExecClient> {
    const { pair } = await this.connectSilently();
    const client = new ssh2.Client();
    client.on("error", () => {});
    client.connect({ sock: pair.client, username: "sandbox", keepaliveInterval: 0 });
    await once(client, "ready");
    return new SshExecClient(client, pair);
  }

  /** An SSH connection for conversations about durable execs. */
  async converse(): Promise<SubsystemClient> {
    const { client, pair } = await this.connect();
    return new SubsystemClient(client, pair);
  }

  /** A relay at whose other end nobody speaks. */
  async connectSilently(): Promise<{ pair: PipePair }> {
    const pair = pipePair();
    this.#pairs.push(pair);
    await this.serve(pair.server, "every");
    return { pair };
  }

  /** Speaks SSH on this pipe. */
  async serve(pipe: RelayPipe, accepts: AcceptedVariables): Promise<void> {
    const pipes = await this.pool.take(3, { signal: this.draining.signal });
    this.#ssh.serve({ pipe, pipes, accepts, onShared() {}, ids: {}, log: this.log });
  }

  /** Runs a command to its end. */
  async run(command: string, options: RunOptions = {}): Promise<Finished> {
    const connection = await this.connect();
    const exec = await connection.exec(command, options);
    exec.channel.end(options.stdin);
    const finished = await exec.finished();
    connection.client.end();
    return finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.execs.killAllNow();
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
    this.execs.killAllNow();
    await until("every exec has ended", () => this.execs.size === 0);
    this.durable[Symbol.dispose]();
    this.pool[Symbol.dispose]();
  }
}

export interface RunOptions extends ExecOptions {
  /** Default: none, an end of input at once. */
  readonly stdin?: string | Buffer;
}

export class SshExecClient {
  readonly client: Client;
  readonly pair: PipePair;

  /** Whether an EOF came, on whichever channel: ssh2 itself does not tell it from a CLOSE. */
  eof = false;

  constructor(client: Client, pair: PipePair) {
    this.client = client;
    this.pair = pair;
    type Handlers = Record<string, (...args: unknown[]) => void>;
    const { _handlers } = (client as unknown as { _protocol: { _handlers: Handlers } })._protocol;
    const onEof = _handlers["CHANNEL_EOF"]!;
    _handlers["CHANNEL_EOF"] = (...args) => {
      this.eof = true;
      onEof(...args);
    };
  }

  /** From now on, nothing of the client's reaches the server; the relay itself stays. */
  mute(): void {
    this.pair.server.receive = () => Promise.resolve();
  }

  /** From now on, nothing of the server's leaves its relay. */
  stall(): void {
    this.pair.client.receive = () => new Promise(() => {});
  }

  /** @throws when the server refuses the request. */
  async exec(command: string, options: ExecOptions = {}): Promise<ClientExec> {
    return new Promise((resolve, reject) => {
      this.client.exec(command, options, (error, channel) =>
        // Within the callback: an exit status may be in the same bytes, and is told only once.
        error ? reject(error) : resolve(new ClientExec(this, channel)),
      );
    });
  }
}

export class ClientExec {
  readonly channel: ClientChannel;
  /** Resolves when the channel has closed. */
  readonly closed: Promise<void>;
  readonly #connection: SshExecClient;
  #code: number | undefined;
  #signal: string | undefined;

  constructor(connection: SshExecClient, channel: ClientChannel) {
    this.#connection = connection;
    this.channel = channel;
    channel.on("error", () => {});
    channel.on("exit", (code: number | null, name?: string) => {
      this.#code = code ?? undefined;
      this.#signal = name;
    });
    this.closed = new Promise((resolve) => channel.once("close", () => resolve()));
  }

  /** Reads all output that comes from now on, as fast as it comes. */
  async finished(): Promise<Finished> {
    const { channel } = this;
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    channel.on("data", (chunk: Buffer) => stdout.push(chunk));
    channel.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    channel.resume();
    await this.closed;
    return {
      code: this.#code,
      signal: this.#signal,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr),
      eof: this.#connection.eof,
    };
  }

  /** Lets the server send so many bytes more. */
  grantWindow(bytes: number): void {
    const { outgoing } = this.channel as unknown as { outgoing: { id: number } };
    const { _protocol } = this.#connection.client as unknown as {
      _protocol: { channelWindowAdjust(id: number, bytes: number): void };
    };
    _protocol.channelWindowAdjust(outgoing.id, bytes);
  }

  /** Asks for a second command on this channel, and for an answer. */
  requestAnother(): Promise<"success" | "failure"> {
    const { outgoing, _callbacks } = this.channel as unknown as {
      outgoing: { id: number };
      _callbacks: ((failed: boolean) => void)[];
    };
    const { _protocol } = this.#connection.client as unknown as {
      _protocol: { exec(id: number, command: string, wantReply: boolean): void };
    };
    return new Promise((resolve) => {
      _callbacks.push((failed) => resolve(failed ? "failure" : "success"));
      _protocol.exec(outgoing.id, "true", true);
    });
  }

  /** ssh2 refuses to send signals after the end of input; servers must take them all the same. */
  signal(name: string): void {
    const { outgoing } = this.channel as unknown as { outgoing: { id: number } };
    const { _protocol } = this.#connection.client as unknown as {
      _protocol: { signal(id: number, name: string): void };
    };
    _protocol.signal(outgoing.id, name);
  }
}
