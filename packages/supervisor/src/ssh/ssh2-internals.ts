// ssh2-internals.ts: the parts of ssh2 1.17 that we need and that it does not offer. Everything that
// depends on its private names is here and in harden-channel.ts.
import type { Duplex, Writable } from "node:stream";
import type { Connection, Server, ServerChannel, Session } from "ssh2";

export interface PrivateChannel extends ServerChannel {
  /** Our side of the SSH flow control: what the peer takes. */
  readonly outgoing: {
    readonly id: number;
    readonly packetSize: number;
    window: number;
    state: "open" | "eof" | "closing" | "closed";
  };
  readonly _client: {
    readonly _protocol: {
      channelData(id: number, data: Buffer): void;
      channelExtData(id: number, data: Buffer, type: number): void;
    };
  };
  readonly stderr: Writable & { _write: StreamWrite };
  _write: StreamWrite;
  /** On WINDOW_ADJUST, ssh2 looks at these; see harden-channel.ts. */
  _waitWindow: boolean;
  _chunk: Buffer | undefined;
  _chunkcb: (() => void) | undefined;
  /** In ssh2's types: of the client only. */
  exit(status: number): void;
  exit(signal: string, coreDumped: boolean, message: string): void;
  eof(): void;
  close(): void;
}

export type StreamWrite = (
  data: Buffer,
  encoding: BufferEncoding,
  done: (error?: Error | null) => void,
) => void;

/** ssh2 takes any duplex, though its types ask for a socket. */
export function injectStream(server: Server, stream: Duplex): void {
  server.injectSocket(stream as never);
}

/**
 * ssh2 takes the end of the client's input for the end of the session, and from then on refuses each
 * of its requests: a `signal` that is to end a command without input would never arrive.
 */
export function takeRequestsAfterEof(session: Session): void {
  session.on("eof", () => {
    (session as Session & { _ending: boolean })._ending = false;
  });
}

/** Whether what is written to it may still be sent. */
export function isOpen(channel: ServerChannel): boolean {
  return (channel as PrivateChannel).outgoing.state === "open";
}

/** "I send no more": ssh2's `end()` would close a server's channel with it. */
export function sendEof(channel: ServerChannel): void {
  (channel as PrivateChannel).eof();
}

/** No more in either direction. No effect when it is closed. */
export function closeChannel(channel: ServerChannel): void {
  (channel as PrivateChannel).close();
}

/**
 * Aborts when either side closes the channel: ssh2's own `close` event waits until everything that
 * had come was read. Not when the connection ends.
 */
export function whenClosed(channel: ServerChannel): AbortSignal {
  const closed = new AbortController();
  const own = channel as PrivateChannel;
  const close = own.close.bind(own);
  own.close = () => {
    close(); // to a CLOSE of the client, ssh2 answers with this, too
    closed.abort();
  };
  return closed.signal;
}

interface PrivateConnection {
  readonly _protocol: {
    channelOpenFail(recipient: number, reason: number, description: string): void;
    channelSuccess(recipient: number): void;
    channelFailure(recipient: number): void;
    readonly _handlers: { CHANNEL_REQUEST: OnChannelRequest };
  };
  readonly _chanMgr: { get(channel: number): PrivateSession | undefined };
}

interface PrivateSession {
  /** There when a shell, a command or a subsystem has been accepted. */
  readonly _channel?: PrivateChannel;
}

type OnChannelRequest = (
  protocol: unknown,
  recipient: number,
  type: string,
  wantReply: boolean,
  data: unknown,
) => void;

/**
 * ssh2 answers no request that comes once a session has its channel, though its client may wait for
 * that (PuTTY does, with each `winadj` of its own). Only signals and sizes are of use by then.
 */
export function answerLateRequests(connection: Connection): void {
  const { _protocol: protocol, _chanMgr: channels } = connection as unknown as PrivateConnection;
  const onRequest = protocol._handlers.CHANNEL_REQUEST;
  protocol._handlers.CHANNEL_REQUEST = (self, recipient, type, wantReply, data) => {
    const channel = channels.get(recipient)?._channel;
    onRequest(self, recipient, type, wantReply && !channel, data);
    if (!wantReply || !channel) return;
    const isTaken = type === "signal" || type === "window-change";
    protocol[isTaken ? "channelSuccess" : "channelFailure"](channel.outgoing.id);
  };
}

/** RFC 4254, 5.1. ssh2's own refusal is always one of a failed connection, without a text. */
const OPEN_FAILURES = {
  administratively_prohibited: 1,
  connect_failed: 2,
  resource_shortage: 4,
} as const;

export type OpenFailure = keyof typeof OPEN_FAILURES;

/** @param reject what ssh2 gave with the request for the channel. */
export function refuseChannel(
  connection: Connection,
  reject: () => void,
  reason: OpenFailure,
  text: string,
): void {
  const { _protocol: protocol } = connection as unknown as PrivateConnection;
  const original = protocol.channelOpenFail.bind(protocol);
  protocol.channelOpenFail = (recipient) => original(recipient, OPEN_FAILURES[reason], text);
  try {
    reject();
  } finally {
    protocol.channelOpenFail = original;
  }
}

/** Of these, SSH carries the name (RFC 4254, 6.10); ssh2 throws for any other. */
export const SSH_SIGNALS: ReadonlySet<string> = new Set([
  "ABRT",
  "ALRM",
  "FPE",
  "HUP",
  "ILL",
  "INT",
  "KILL",
  "PIPE",
  "QUIT",
  "SEGV",
  "TERM",
  "USR1",
  "USR2",
]);
