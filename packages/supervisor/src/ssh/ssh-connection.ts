// ssh-connection.ts: one SSH connection: how its client goes, and the channels that it may open.
import type { Log } from "@belay/program";
import { TaskScope } from "@belay/relay-core";
import type { Clock, RelayPipe } from "@belay/relay-core";
import type { Connection, Session } from "ssh2";
import { ClientGone } from "../execs/exec-client.ts";
import type { DurableExecs } from "../execs/durable/durable-execs.ts";
import type { ExecTable } from "../execs/exec-table.ts";
import type { SupervisorLimits } from "../limits.ts";
import type { PipePool } from "../process/pipe-pool.ts";
import { PipeRoom } from "./channel-writer.ts";
import { serveExecSession } from "./exec-session.ts";
import { serveForward } from "./forward.ts";
import { OwnedPipes } from "./session-pipes.ts";
import type { AcceptedVariables } from "./session-requests.ts";
import { answerLateRequests, refuseChannel } from "./ssh2-internals.ts";

export interface ConnectionOptions {
  /** What the connection speaks over. */
  readonly pipe: RelayPipe;
  /** Of the first session; later ones take theirs from the pool. */
  readonly firstPipes: OwnedPipes;
  readonly pipePool: PipePool;
  readonly execs: ExecTable;
  readonly durable: DurableExecs;
  readonly accepts: AcceptedVariables;
  readonly onShared: () => void;
  /** The name that the client gives itself. */
  readonly clientSoftware: string;
  readonly limits: SupervisorLimits;
  readonly clock: Clock;
  readonly log: Log;
}

/** What all channels of a connection share. */
export interface ConnectionContext extends Omit<ConnectionOptions, "firstPipes" | "pipe"> {
  readonly room: PipeRoom;
  /** Aborts when the connection has ended; the reason is a `ClientGone`. */
  readonly gone: AbortSignal;
  /** For what serves its channels; aborts with `gone`. */
  readonly tasks: TaskScope;
}

/** Forwarding from the sandbox, and to its sockets with names, has no listeners: ssh2 refuses it. */
export function serveConnection(connection: Connection, options: ConnectionOptions): void {
  const { pipe, firstPipes, log, limits } = options;
  const gone = watchClient(pipe);
  const tasks = new TaskScope("SSH connection", {
    signal: gone,
    onFailure: (err) => log.error("ssh.channel_failed", { err }),
  });
  const context: ConnectionContext = { ...options, room: new PipeRoom(pipe), gone, tasks };
  const places = new ChannelPlaces(limits.sshChannels);
  let hasSession = false;

  answerLateRequests(connection);
  connection.on("session", (accept, reject) => {
    const place = places.take();
    if (!place) return refuseFull(reject);
    const ahead = hasSession ? undefined : firstPipes;
    hasSession = true;
    tasks.run((signal) => openSession({ accept, reject, place, ahead }, signal));
  });
  connection.on("tcpip", (accept, reject, info) => {
    const place = places.take();
    if (!place) return refuseFull(reject);
    tasks.run(async () => {
      using _place = place;
      await serveForward({ connection, accept, reject, info }, context);
    });
  });

  async function openSession(
    { accept, reject, place, ahead }: SessionOpening,
    signal: AbortSignal,
  ): Promise<void> {
    let pipes: OwnedPipes;
    try {
      pipes = ahead ?? (await OwnedPipes.of(options.pipePool, { signal }));
    } catch (err) {
      place[Symbol.dispose]();
      log.error("ssh.session_refused", { err });
      return refuseChannel(connection, reject, "resource_shortage", "no pipes for a command");
    }
    if (gone.aborted) return pipes[Symbol.dispose]();
    const session = accept();
    session.once("close", () => place[Symbol.dispose]());
    serveExecSession(session, pipes, context);
  }

  function refuseFull(reject: () => void): void {
    log.warn("ssh.channel_refused", { channels: limits.sshChannels });
    refuseChannel(connection, reject, "resource_shortage", "too many channels on this connection");
  }
}

interface SessionOpening {
  readonly accept: () => Session;
  readonly reject: () => void;
  readonly place: Disposable;
  readonly ahead: OwnedPipes | undefined;
}

/** How many channels of a connection are open. */
class ChannelPlaces {
  readonly #limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  take(): Disposable | undefined {
    if (this.#taken >= this.#limit) return undefined;
    this.#taken += 1;
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (isTaken) this.#taken -= 1;
        isTaken = false;
      },
    };
  }
}

/** How the client goes: it closes its relay, in order, or all of it breaks. */
function watchClient(pipe: RelayPipe): AbortSignal {
  const gone = new AbortController();
  const leave = (how: ClientGone["how"], cause?: unknown) =>
    gone.abort(new ClientGone(how, cause === undefined ? undefined : { cause }));
  pipe.once("end", () => leave("closed"));
  // ssh2 ends the pipe in order for one reason: the client has sent DISCONNECT.
  pipe.once("close", () =>
    leave(pipe.writableEnded ? "closed" : "lost", pipe.errored ?? undefined),
  );
  return gone.signal;
}
