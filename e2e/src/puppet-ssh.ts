// puppet-ssh.ts: the SSH server of a puppet supervisor, and the ways in which an exec on it can go right or wrong.
import ssh2 from "ssh2";
import type { Connection, ServerChannel, Session } from "ssh2";
import type { Writable } from "node:stream";
import type { RelayDuplex } from "./relay-duplex.ts";

/** One exec request that reached the puppet. */
export interface PuppetExec {
  command: string;
  /** What came as `env` requests before it. */
  environment: Record<string, string>;
  pty: boolean;
  /** Signal requests that came for it, in order, without SIG. */
  signals: string[];
  channel: ServerChannel;
  /** The SSH connection it came on, and the relay under that. */
  connection: Connection;
  relay: RelayDuplex;
}

export type ExecScript = (exec: PuppetExec) => void;

/** What a healthy command does: its output, its exit status, EOF, close. For small outputs: ssh2 loses order beyond its window. */
export function exits(code: number, stdout = "", stderr = ""): ExecScript {
  return ({ channel }) => {
    say(channel.stderr, stderr, () => {
      say(channel, stdout, () => {
        channel.exit(code);
        channel.end();
      });
    });
  };
}

/** Output and exit status, then neither EOF nor close, ever. */
export function exitsButNeverCloses(code: number, stdout = ""): ExecScript {
  return ({ channel }) => say(channel, stdout, () => channel.exit(code));
}

/** Output, EOF and close, but no exit status: what a status lost on the way looks like. */
export function closesWithoutStatus(stdout = ""): ExecScript {
  return ({ channel }) => say(channel, stdout, () => channel.end());
}

/** Output, then exit-signal. @param signal Without SIG, e.g. "KILL". */
export function endsBySignal(signal: string, stdout = ""): ExecScript {
  return ({ channel }) => {
    say(channel, stdout, () => {
      channel.exit(signal, false, "");
      channel.end();
    });
  };
}

/** Starts, says something, and then the whole SSH connection answers nothing more, while HTTP/2 lives. */
export function wedgesAfter(stdout: string): ExecScript {
  return ({ channel, relay }) => say(channel, stdout, () => relay.wedge());
}

/** Starts and stays silent; SSH answers. Not a fault: silence is not death. */
export function staysSilent(): ExecScript {
  return () => {};
}

/** Output, then the end of the relay under it. For a reset instead: `puppet.claims[n].destroy()` once the output was seen. */
export function endsRelayAfter(stdout: string): ExecScript {
  return ({ channel, relay }) => say(channel, stdout, () => relay.end());
}

/** Refuses the exec request itself (CHANNEL_FAILURE). */
export const refusesExec = Symbol("refuses the exec request");
/** Never answers the exec request. */
export const ignoresExec = Symbol("never answers the exec request");
export type ExecBehaviour = ExecScript | typeof refusesExec | typeof ignoresExec;

let hostKey: string | undefined;

/** Runs an SSH server on the relay. Each exec on it does what `behaviour` says; `onExec` hears of each. */
export function serveSsh(
  relay: RelayDuplex,
  behaviour: ExecBehaviour,
  onExec: (exec: Omit<PuppetExec, "channel">) => void,
): void {
  hostKey ??= readableKey();
  const server = new ssh2.Server({ hostKeys: [hostKey], keepaliveInterval: 0 });
  server.on("connection", (connection: Connection) => {
    connection.on("error", () => relay.destroy());
    connection.on("authentication", (context) => context.accept());
    connection.on("session", (accept) =>
      serveSession(accept(), { relay, connection, behaviour, onExec }),
    );
  });
  server.injectSocket(relay as never);
}

interface SessionScene {
  relay: RelayDuplex;
  connection: Connection;
  behaviour: ExecBehaviour;
  onExec: (exec: Omit<PuppetExec, "channel">) => void;
}

function serveSession(
  session: Session,
  { relay, connection, behaviour, onExec }: SessionScene,
): void {
  const environment: Record<string, string> = {};
  const signals: string[] = [];
  let pty = false;
  session.on("env", (accept, _reject, { key, val }) => {
    environment[key] = val;
    accept?.();
  });
  session.on("pty", (accept) => {
    pty = true;
    accept?.();
  });
  session.on("window-change", (accept) => accept?.());
  session.on("signal", (accept, _reject, { name }) => {
    signals.push(name.replace(/^SIG/, ""));
    accept?.();
  });
  // Once input has ended, ssh2 refuses what still comes for the session: a signal would never arrive.
  session.on("eof", () => Object.assign(session, { _ending: false }));
  session.on("exec", (accept, reject, { command }) => {
    const exec = { command, environment, pty, signals, connection, relay };
    onExec(exec);
    if (behaviour === ignoresExec) return;
    if (behaviour === refusesExec) {
      reject();
      return;
    }
    const channel = accept();
    channel.on("error", () => {});
    // A server channel closes only once its input was read.
    channel.resume();
    behaviour({ ...exec, channel });
  });
}

/** ssh2 never calls back an empty write. */
function say(sink: Writable, text: string, then: () => void): void {
  if (text === "") then();
  else sink.write(text, () => then());
}

/** One key of 256 begins with a zero byte, which ssh2 drops when it writes the key (measured). */
function readableKey(): string {
  const key = ssh2.utils.generateKeyPairSync("ed25519").private;
  return ssh2.utils.parseKey(key) instanceof Error ? readableKey() : key;
}
