// fake-supervisor.ts: a supervisor in this process: it answers RelayOpen by claiming the relay, and
// runs an SSH server on it, whose commands and exec subsystem the test plays. No sockets.
import { EXEC_SUBSYSTEM } from "@belay/protocol";
import type { RelayOpen } from "@belay/protocol";
import { RelayPipe } from "@belay/relay-core";
import ssh2 from "ssh2";
import type { Connection, ServerChannel, Session } from "ssh2";
import type { RelayBroker } from "../../src/relays/relay-broker.ts";
import type { Relay } from "../../src/relays/relay.ts";
import { SupervisorSession } from "../../src/supervisors/supervisor-session.ts";
import { FakeConversation } from "./fake-exec-subsystem.ts";
import type { SubsystemPlace, SubsystemScript } from "./fake-exec-subsystem.ts";

/** A command that the SSH server was asked for. */
export interface FakeCommand {
  readonly line: string;
  readonly env: Record<string, string>;
  readonly pty: { cols: number; rows: number } | undefined;
  /** Signals that came for it, without SIG. */
  readonly signals: string[];
  readonly channel: ServerChannel;
  readonly connection: Connection;
  /** The relay under it, as the gateway has it, and the supervisor's end of it. */
  readonly relay: Relay;
  readonly pipe: RelayPipe;
}

export interface SupervisorScript extends SubsystemScript {
  /** Takes the RelayOpen instead of claiming it. */
  readonly onRelayOpen?: (channelId: string) => void;
  /** Takes the claimed relay instead of running an SSH server on it. */
  readonly onRelay?: (relay: Relay, pipe: RelayPipe) => void;
  /** Decides on an exec request; by default it is accepted. */
  readonly onExec?: (accept: () => ServerChannel, reject: () => void) => void;
  readonly onCommand?: (command: FakeCommand) => void;
  readonly onSignal?: (name: string, command: FakeCommand) => void;
  /** @param size columns and rows. */
  readonly onResize?: (size: [number, number]) => void;
}

const hostKey = readableKey();

/** One key of 256 begins with a zero byte, which ssh2 drops when it writes the key (measured). */
function readableKey(): string {
  const key = ssh2.utils.generateKeyPairSync("ed25519").private;
  return ssh2.utils.parseKey(key) instanceof Error ? readableKey() : key;
}

export class FakeSupervisor {
  readonly session: SupervisorSession;
  readonly commands: FakeCommand[] = [];
  /** Channels of the exec subsystem that have named their exec, in that order. */
  readonly conversations: FakeConversation[] = [];
  /** All channels that the subsystem was started on, spare ones too. */
  readonly subsystems: FakeConversation[] = [];
  /** The gateway's messages, by case. */
  readonly received: string[] = [];
  /** The relays that were asked for, in order. */
  readonly channelIds: string[] = [];
  readonly opens: RelayOpen[] = [];
  /** Those that it has claimed, as the gateway has them. */
  readonly relays: Relay[] = [];
  readonly #broker: RelayBroker;
  readonly #script: SupervisorScript;

  constructor(
    relays: RelayBroker,
    script: SupervisorScript = {},
    peer: { sandboxId?: string; instanceId?: string; features?: string[] } = {},
  ) {
    this.#broker = relays;
    this.#script = script;
    this.session = new SupervisorSession(
      {
        sandboxId: peer.sandboxId ?? "sb-1",
        instanceId: peer.instanceId ?? "in-1",
        startedByMs: 0,
        features: new Set(peer.features ?? ["ssh-env"]),
      },
      { outboxMessages: 64 },
    );
    void this.#readOutbox();
  }

  async #readOutbox(): Promise<void> {
    try {
      for await (const { payload } of this.session.outbox) {
        this.received.push(payload.case ?? "");
        if (payload.case !== "relayOpen") continue;
        this.channelIds.push(payload.value.channelId);
        this.opens.push(payload.value);
        this.#openRelay(payload.value.channelId);
      }
    } catch {
      // The session has ended.
    }
  }

  #openRelay(channelId: string): void {
    if (this.#script.onRelayOpen) return this.#script.onRelayOpen(channelId);
    this.claim(channelId);
  }

  /** What RelayStream does, without the RPC. */
  claim(channelId: string): void {
    const relay = this.#broker.claim(channelId, this.session.sandboxId);
    this.relays.push(relay);
    const pipe = new RelayPipe();
    void carry(relay.pipe, pipe);
    void carry(pipe, relay.pipe);
    if (this.#script.onRelay) return this.#script.onRelay(relay, pipe);
    this.#serveSsh(relay, pipe);
  }

  #serveSsh(relay: Relay, pipe: RelayPipe): void {
    const server = new ssh2.Server({ hostKeys: [hostKey], keepaliveInterval: 0 });
    server.on("connection", (connection) => {
      connection.on("error", () => {});
      connection.on("authentication", (context) => context.accept());
      connection.on("session", (accept) => this.#serveSession(accept(), connection, relay, pipe));
    });
    server.injectSocket(pipe as never);
  }

  #serveSession(session: Session, connection: Connection, relay: Relay, pipe: RelayPipe): void {
    const env: Record<string, string> = {};
    const signals: string[] = [];
    let pty: FakeCommand["pty"];
    let command: FakeCommand | undefined;
    // Without this, ssh2 takes the end of input for the end of the session, and drops signals.
    session.on("eof", () => ((session as Session & { _ending: boolean })._ending = false));
    session.on("env", (accept, _reject, { key, val }) => {
      env[key] = val;
      accept?.();
    });
    session.on("pty", (accept, _reject, { cols, rows }) => {
      pty = { cols, rows };
      accept?.();
    });
    session.on("window-change", (_accept, _reject, { cols, rows }) =>
      this.#script.onResize?.([cols, rows]),
    );
    session.on("signal", (_accept, _reject, { name }) => {
      const bare = name.replace(/^SIG/, "");
      signals.push(bare);
      if (command) this.#script.onSignal?.(bare, command);
    });
    session.on("exec", (accept, reject, { command: line }) => {
      const start = () => {
        const channel = accept();
        channel.on("error", () => {});
        command = { line, env, pty, signals, channel, connection, relay, pipe };
        this.commands.push(command);
        this.#script.onCommand?.(command);
        return channel;
      };
      if (this.#script.onExec) this.#script.onExec(start, reject);
      else start();
    });
    session.on("subsystem", (accept, reject, { name }) => {
      if (name !== EXEC_SUBSYSTEM) return reject();
      const start = () => this.#startSubsystem({ channel: accept(), connection, relay, pipe });
      if (this.#script.onSubsystem) this.#script.onSubsystem(start, reject);
      else start();
    });
  }

  #startSubsystem(place: SubsystemPlace): FakeConversation {
    const conversation = new FakeConversation(place, (frame, of) => {
      if (of.received.length === 1) this.conversations.push(of);
      this.#script.onFrame?.(frame, of);
    });
    this.subsystems.push(conversation);
    return conversation;
  }
}

/** Carries bytes one way until the end, or until either side breaks. */
async function carry(from: RelayPipe, to: RelayPipe): Promise<void> {
  for (let frame = await from.nextFrame(); frame; frame = await from.nextFrame()) {
    await to.receive(frame);
  }
  if (from.errored) to.destroy(new Error("the other end broke", { cause: from.errored }));
  else to.receiveEnd();
}
