// exec-session.ts: one SSH session channel: its requests, the one command on it, its end.
import { constants } from "node:os";
import { EXEC_SUBSYSTEM } from "@belay/protocol";
import type { Session, ServerChannel } from "ssh2";
import { ClientGone } from "../execs/exec-client.ts";
import type { Exec } from "../execs/exec.ts";
import { terminalSize } from "../process/terminal-size.ts";
import { ChannelClient } from "./channel-client.ts";
import { ExecConversation } from "./exec-conversation.ts";
import { loginShell } from "./login-shell.ts";
import type { OwnedPipes } from "./session-pipes.ts";
import { SessionRequests } from "./session-requests.ts";
import type { ConnectionContext } from "./ssh-connection.ts";
import { serveSftpSubsystem } from "./sftp-subsystem.ts";
import { takeRequestsAfterEof } from "./ssh2-internals.ts";

type ServeSubsystem = (channel: ServerChannel, context: ConnectionContext) => Promise<void>;

/** `gone` is here that of the channel. */
const SUBSYSTEMS: ReadonlyMap<string, ServeSubsystem> = new Map([
  [EXEC_SUBSYSTEM, converse],
  ["sftp", serveSftpSubsystem],
]);

function converse(channel: ServerChannel, context: ConnectionContext): Promise<void> {
  context.onShared();
  return new ExecConversation(channel, context).run();
}

/** Agents and X11 have no listeners here: ssh2 refuses them. */
export function serveExecSession(
  session: Session,
  pipes: OwnedPipes,
  context: ConnectionContext,
): void {
  const { limits, execs, log } = context;
  const requests = new SessionRequests(limits, context.accepts);
  const input = { isOver: false };
  const gone = AbortSignal.any([context.gone, closedBy(session)]);
  gone.addEventListener("abort", () => pipes[Symbol.dispose](), { once: true });
  let exec: Exec | undefined;
  let isServed = false;

  takeRequestsAfterEof(session);
  session.on("eof", () => (input.isOver = true));
  // Where no answer is wanted, there is nothing to call.
  session.on("env", (accept, reject, { key, val }) => {
    (requests.addVariable(key, val) ? accept : reject)?.();
  });
  session.on("pty", (accept, reject, { term, cols, rows }) => {
    (requests.setTerminal(term, { cols, rows }) ? accept : reject)?.();
  });
  session.on("window-change", (_accept, _reject, { cols, rows }) => {
    exec?.resize(terminalSize({ cols, rows }, limits));
  });
  session.on("signal", (accept, reject, { name }) => {
    const signal = `SIG${name.replace(/^SIG/, "")}` as NodeJS.Signals;
    if (!exec || !(signal in constants.signals)) return reject?.();
    exec.signal(signal);
    accept?.();
  });
  session.on("exec", (accept, reject, { command }) => run(command, accept, reject));
  session.on("shell", (accept, reject) => run(loginShell(execs.shell), accept, reject));
  session.on("subsystem", (accept, reject, { name }) => {
    const serve = isServed ? undefined : SUBSYSTEMS.get(name);
    if (!serve) return reject?.();
    isServed = true;
    pipes.giveBack(context.pipePool); // the session itself starts no command
    const channel = accept();
    context.tasks.run(() => serve(channel, { ...context, gone }));
  });

  function run(commandLine: string, accept: () => ServerChannel, reject: () => void): void {
    if (isServed) return reject?.();
    const made = requests.execRequest(commandLine);
    if ("refusal" in made) {
      log.warn("exec.refused", { reason: made.refusal });
      return reject?.();
    }
    // From here to `run` in one turn: ssh2 drops what comes for a session without a channel.
    const start = execs.start(made.request, pipes.take());
    if (start.is === "failed") return void refuse(start.error, reject, context);
    isServed = true;
    exec = start.run(
      new ChannelClient({
        channel: accept(),
        room: context.room,
        gone,
        inputIsOver: () => input.isOver,
      }),
    );
  }
}

async function refuse(
  error: Promise<Error>,
  reject: () => void,
  { log }: ConnectionContext,
): Promise<void> {
  log.warn("exec.start_failed", { err: await error });
  reject?.();
}

/** Aborts when the client closes the channel; its connection may go on. */
function closedBy(session: Session): AbortSignal {
  const closed = new AbortController();
  session.on("close", () => closed.abort(new ClientGone("closed")));
  return closed.signal;
}
