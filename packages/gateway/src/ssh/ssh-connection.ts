// ssh-connection.ts: the SSH client on a relay: its handshake, its keepalive, its loss, and what is
// started on its channels. One exec in the plain form has it for itself; durable ones share it.
import { BelayError } from "@belay/protocol";
import type { BelayErrorOptions, ErrorIds, Outcome } from "@belay/protocol";
import { untilAbort, waitAtMost, watchLiveness } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import ssh2 from "ssh2";
import type { ClientChannel, PseudoTtyOptions } from "ssh2";
import type { GatewayLimits } from "../limits.ts";
import type { Relay } from "../relays/relay.ts";
import { ExecChannel } from "./exec-channel.ts";
import { sendKeepalive, sendSignal } from "./ssh2-internals.ts";

/**
 * Measured to be the fastest that node:crypto offers; ctr and hmac are for servers without gcm. No
 * secret is at stake in the choice of the relay's cipher: the relay itself is authenticated, and runs
 * inside TLS where the network is not trusted.
 */
const ALGORITHMS: ssh2.Algorithms = {
  kex: ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"],
  serverHostKey: ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"],
  cipher: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
  hmac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"],
  compress: ["none"],
};

/** The user that OpenShell's supervisors expect; ours takes any. */
const SSH_USER = "sandbox";

export interface StartOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly pty: PseudoTtyOptions | undefined;
}

interface Start<T> {
  readonly what: string;
  readonly refusal: string;
  /** Of an unanswered request. Default: that of the error's kind. */
  readonly outcome?: Outcome;
  readonly request: (onReply: (error: Error | undefined, channel: ClientChannel) => void) => void;
  readonly take: (channel: ClientChannel) => T;
}

export class SshConnection implements Disposable {
  readonly #client: ssh2.Client;
  readonly #relay: Relay;
  readonly #limits: GatewayLimits;
  readonly #clock: Clock;
  readonly #lost = new AbortController();
  #drained: Promise<void> | undefined;

  private constructor(relay: Relay, limits: GatewayLimits, clock: Clock) {
    this.#relay = relay;
    this.#limits = limits;
    this.#clock = clock;
    this.#client = new ssh2.Client();
    this.#client.on("error", (error) => this.#end(`ssh: ${error.message}`, error));
    this.#client.on("close", () => this.#end("ssh connection closed"));
    // ssh2 takes a half-closed stream for one that lives (measured: it waits for the keepalive).
    relay.pipe.once("end", () => this.#end("the supervisor ended the relay"));
    const onRelayEnd = () => this.#end("relay ended", relay.ended.reason);
    if (relay.ended.aborted) onRelayEnd();
    else relay.ended.addEventListener("abort", onRelayEnd, { once: true });
  }

  /**
   * Opens SSH over the relay. From here on the relay is dead after `limits.sshKeepalive`.
   * @throws BelayError `ssh_handshake_failed`.
   */
  static async open(
    relay: Relay,
    limits: GatewayLimits,
    clock: Clock,
    { signal }: { signal: AbortSignal },
  ): Promise<SshConnection> {
    const connection = new SshConnection(relay, limits, clock);
    const wait = {
      what: "SSH handshake",
      limitMs: limits.sshReadyMs,
      kind: "ssh_handshake_failed",
      ids: relay.ids,
    } as const;
    try {
      await waitAtMost(wait, clock, (waiting) => connection.#handshake(waiting), { signal });
    } catch (error) {
      connection[Symbol.dispose]();
      throw connection.#handshakeError(error);
    }
    return connection;
  }

  get ids(): ErrorIds {
    return this.#relay.ids;
  }

  /** Aborts when the connection is gone, for whatever reason. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async #handshake(signal: AbortSignal): Promise<void> {
    const ready = Promise.withResolvers<void>();
    this.#client.once("ready", ready.resolve);
    this.#client.connect({
      sock: this.#relay.pipe,
      username: SSH_USER,
      algorithms: ALGORITHMS,
      hostVerifier: () => true, // the relay is authenticated by the supervisor's token
      keepaliveInterval: 0, // ours below
      readyTimeout: 0, // ours above
    });
    await untilAbort(untilAbort(ready.promise, this.lost), signal);
    this.#keepAlive();
  }

  #keepAlive(): void {
    const watch = watchLiveness(
      {
        seen: () => this.#relay.pipe.bytesReceived,
        probe: () => sendKeepalive(this.#client),
        onDead: () =>
          this.#relay.fail(
            new BelayError("relay_lost", "ssh keepalive unanswered", { ids: this.#relay.ids }),
          ),
      },
      this.#limits.sshKeepalive,
      this.#clock,
    );
    this.lost.addEventListener("abort", watch.stop, { once: true });
  }

  #handshakeError(error: unknown): unknown {
    const options: BelayErrorOptions = { ids: this.#relay.ids, cause: error };
    if (this.#relay.state.is === "ended" && this.#relay.state.reason.kind !== "relay_dropped") {
      return this.#relay.state.reason;
    }
    if (error === this.lost.reason) {
      return new BelayError("relay_dropped", "relay channel dropped", options);
    }
    return error;
  }

  /**
   * Starts a command on a channel of its own (a standard SSH `exec` request).
   * @throws BelayError `exec_start_failed` when the server refuses it, `exec_start_timeout` or
   * `relay_lost` when nobody knows whether it runs.
   */
  startCommand(
    commandLine: string,
    options: StartOptions,
    { signal }: { signal: AbortSignal },
  ): Promise<ExecChannel> {
    const pty = options.pty ? { pty: options.pty } : {};
    const maxChunkBytes = this.#limits.outputChunkBytes;
    return this.#start(
      {
        what: "start of the command",
        refusal: "the sandbox could not start the command",
        request: (onReply) =>
          this.#client.exec(commandLine, { env: { ...options.env }, ...pty }, onReply),
        take: (channel) => new ExecChannel(channel, { maxChunkBytes }),
      },
      { signal },
    );
  }

  /**
   * Starts a subsystem on a channel of its own (RFC 4254, 6.5). It runs nothing by itself, so that
   * without it nothing has started.
   * @param take is handed the channel in the turn in which it is there.
   * @throws BelayError `exec_start_failed`, `exec_start_timeout` or `relay_lost`.
   */
  startSubsystem<T>(
    name: string,
    take: (channel: ClientChannel) => T,
    { signal }: { signal: AbortSignal },
  ): Promise<T> {
    return this.#start(
      {
        what: `start of the SSH subsystem ${name}`,
        refusal: `the supervisor did not start the SSH subsystem ${name}`,
        outcome: "not_started",
        request: (onReply) => this.#client.subsys(name, onReply),
        take,
      },
      { signal },
    );
  }

  /** What is taken is listened to from its reply on, not from where it is awaited: of a quick command
   * the exit status arrives in the same read as the reply to its start. */
  #start<T>(start: Start<T>, { signal }: { signal: AbortSignal }): Promise<T> {
    const { ids } = this.#relay;
    const wait = {
      what: start.what,
      limitMs: this.#limits.execStartMs,
      kind: "exec_start_timeout",
      ids,
      ...(start.outcome && { outcome: start.outcome }),
    } as const;
    const request = (waiting: AbortSignal) => {
      const started = Promise.withResolvers<T>();
      const onReply = (cause: Error | undefined, channel: ClientChannel) => {
        if (!cause && waiting.aborted) closeUnwanted(channel);
        else if (!cause) started.resolve(start.take(channel));
        // ssh2 also fails pending requests when the connection dies: that says nothing of the command.
        else if (!this.lost.aborted && this.#relay.state.is === "open") {
          started.reject(new BelayError("exec_start_failed", start.refusal, { ids, cause }));
        }
      };
      try {
        start.request(onReply);
      } catch (cause) {
        this.#end("not connected", cause); // ssh2 has seen the end of the stream before we hear of it
      }
      return untilAbort(started.promise, this.lost);
    };
    return waitAtMost(wait, this.#clock, request, { signal });
  }

  /** Whether the relay should be given no more now: ssh2 does not ask, and goes on writing. */
  get isFull(): boolean {
    return this.#relay.pipe.writableNeedDrain;
  }

  /** Resolves when the relay is not full; never, when it is lost meanwhile. */
  async room(): Promise<void> {
    const { pipe } = this.#relay;
    while (this.isFull) {
      // One listener, however many channels wait.
      this.#drained ??= new Promise((resolve) => {
        pipe.once("drain", () => {
          this.#drained = undefined;
          resolve();
        });
      });
      await this.#drained;
    }
  }

  sendSignal(channel: ClientChannel, name: string): void {
    if (!this.lost.aborted) sendSignal(this.#client, channel, name);
  }

  #end(message: string, cause?: unknown): void {
    if (this.lost.aborted) return;
    this.#lost.abort(
      new BelayError("relay_lost", "exec relay closed before the command reported an exit status", {
        ids: this.#relay.ids,
        cause: cause ?? new Error(message),
      }),
    );
    // On every error ssh2 leaves the socket to its owner (library hazard: a wedged one never closes).
    if (this.#relay.state.is !== "ended") {
      this.#relay.fail(new BelayError("relay_dropped", message, { ids: this.#relay.ids, cause }));
    }
  }

  /** Says goodbye (SSH DISCONNECT) and lets the relay go; waits for nothing. */
  [Symbol.dispose](): void {
    if (!this.lost.aborted) this.#client.end();
    this.#relay[Symbol.dispose]();
  }
}

/** Its reply came too late. What it still brings is dropped: unread, it would not close. */
function closeUnwanted(channel: ClientChannel): void {
  channel.on("error", () => {});
  channel.resume();
  channel.close();
}
