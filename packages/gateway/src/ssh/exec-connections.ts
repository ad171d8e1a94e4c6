// exec-connections.ts: the SSH connections that durable execs share, by session: an exec on a warm
// sandbox costs a channel, not a relay and a handshake.
import { TaskScope } from "@belay/relay-core";
import type { SupervisorSession } from "../supervisors/supervisor-session.ts";
import { ExecConnection } from "./exec-connection.ts";
import type { ExecConnectionDeps } from "./exec-connection.ts";
import type { ExecConversation } from "./exec-conversation.ts";

export class ExecConnections implements AsyncDisposable {
  readonly #deps: ExecConnectionDeps;
  readonly #tasks: TaskScope;
  readonly #ofSessions = new Map<SupervisorSession, Set<ExecConnection>>();

  /** @param deps.scope what runs in the background ends with it. */
  constructor(deps: ExecConnectionDeps & { readonly scope: TaskScope }) {
    this.#deps = deps;
    const { signal } = deps.scope;
    this.#tasks = new TaskScope("exec connections", { signal });
  }

  /** Connections that are open, or being opened. */
  get size(): number {
    let count = 0;
    for (const connections of this.#ofSessions.values()) count += connections.size;
    return count;
  }

  /**
   * A conversation on a connection of this session that has room, be it open or on its way there; else
   * on a new one, over a relay of its own. A connection is opened for all who wait for it: it is given
   * up when none of them does any more.
   * @throws BelayError with the outcome `not_started`: what RelayBroker.open and SshConnection.open
   * throw, `exec_start_failed` or `exec_start_timeout` for the subsystem, `relay_lost`; the signal's
   * reason.
   */
  async open(
    session: SupervisorSession,
    { signal }: { signal: AbortSignal },
  ): Promise<ExecConversation> {
    signal.throwIfAborted();
    return this.#withRoom(session).open({ signal });
  }

  #withRoom(session: SupervisorSession): ExecConnection {
    const connections = this.#ofSessions.get(session) ?? new Set();
    for (const connection of connections) if (connection.hasRoom) return connection;
    const opened = new ExecConnection(session, this.#deps, (ended) => {
      connections.delete(ended);
      if (connections.size === 0) this.#ofSessions.delete(session);
    });
    connections.add(opened);
    this.#ofSessions.set(session, connections);
    this.#tasks.run((signal) => opened.run(signal));
    return opened;
  }

  /** Ends all of them: who is on one hears of it, and detaches. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
