// ssh2-internals.ts: the parts of ssh2 1.17 that we need and that it does not offer. Everything that
// depends on its private names is here and in harden-channel.ts.
import type { Duplex, Writable } from "node:stream";
import type { Server, ServerChannel, Session } from "ssh2";

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
