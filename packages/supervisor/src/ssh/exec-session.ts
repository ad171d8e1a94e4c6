// exec-session.ts: one SSH session channel: its requests, the one command on it, its end.
import { constants } from "node:os";
import type { Log } from "@belay/program";
import type { RelayPipe } from "@belay/relay-core";
import type { Session } from "ssh2";
import { ClientGone } from "../execs/exec-client.ts";
import type { Exec } from "../execs/exec.ts";
import type { ExecTable } from "../execs/exec-table.ts";
import type { SupervisorLimits } from "../limits.ts";
import type { PooledPipe } from "../process/pipe-pool.ts";
import { ChannelClient } from "./channel-client.ts";
import { SessionRequests, terminalSize } from "./session-requests.ts";
import { takeRequestsAfterEof } from "./ssh2-internals.ts";

export interface ExecSessionDeps {
  readonly pipe: RelayPipe;
  /** Hands over the pipes that were taken for this connection, once. */
  readonly takePipes: () => readonly PooledPipe[] | undefined;
  readonly execs: ExecTable;
  readonly limits: SupervisorLimits;
  readonly log: Log;
}

/** Shells, subsystems, agents, X11 and forwarding have no listeners here: ssh2 refuses them. */
export function serveExecSession(session: Session, deps: ExecSessionDeps): void {
  const { limits } = deps;
  const requests = new SessionRequests(limits);
  const input = { isOver: false };
  const gone = watchClient(session, deps);
  let exec: Exec | undefined;

  takeRequestsAfterEof(session);
  session.on("eof", () => (input.isOver = true));
  // Where no answer is wanted, there is nothing to call.
  session.on("env", (accept, reject, { key, val }) => {
    (requests.addVariable(key, val) ? accept : reject)?.();
  });
  session.on("pty", (accept, reject, { term, cols, rows }) => {
    (requests.setTerminal(term, { cols, rows }) ? accept : reject)?.();
  });
  session.on("window-change", (accept, _reject, { cols, rows }) => {
    exec?.resize(terminalSize({ cols, rows }, limits));
    accept?.();
  });
  session.on("signal", (accept, reject, { name }) => {
    const signal = `SIG${name.replace(/^SIG/, "")}` as NodeJS.Signals;
    if (!exec || !(signal in constants.signals)) return reject?.();
    exec.signal(signal);
    accept?.();
  });
  session.on("exec", (accept, reject, { command }) => {
    if (exec) return reject?.();
    const made = requests.execRequest(command);
    if ("refusal" in made) {
      deps.log.warn("exec.refused", { reason: made.refusal });
      return reject?.();
    }
    // From here to `run` in one turn: ssh2 drops what comes for a session without a channel.
    const start = deps.execs.start(made.request, deps.takePipes());
    if (start.is === "failed") return void refuse(start.error, reject, deps.log);
    exec = start.run(
      new ChannelClient({
        channel: accept(),
        pipe: deps.pipe,
        gone,
        inputIsOver: () => input.isOver,
      }),
    );
  });
}

async function refuse(error: Promise<Error>, reject: () => void, log: Log): Promise<void> {
  log.warn("exec.start_failed", { err: await error });
  reject?.();
}

/** How the client goes: it closes its channel or its relay, in order, or all of it breaks. */
function watchClient(session: Session, { pipe }: ExecSessionDeps): AbortSignal {
  const gone = new AbortController();
  const leave = (how: ClientGone["how"], cause?: unknown) =>
    gone.abort(new ClientGone(how, cause === undefined ? undefined : { cause }));
  session.on("close", () => leave("closed"));
  pipe.once("end", () => leave("closed"));
  // ssh2 ends the pipe in order for one reason: the client has sent DISCONNECT.
  pipe.once("close", () =>
    leave(pipe.writableEnded ? "closed" : "lost", pipe.errored ?? undefined),
  );
  return gone.signal;
}
