// limits.ts: every bound of the supervisor, with its unit and default. main.ts makes the ones that a
// deployment may want to change into options.
import type {
  BackoffLimits,
  ExitDrainLimits,
  LivenessLimits,
  RelayPipeLimits,
} from "@belay/relay-core";

export interface SupervisorLimits {
  /** HTTP/2 PING on the connection to the gateway; any byte received counts as life. */
  readonly http2Keepalive: LivenessLimits;
  /** How many of the gateway's heartbeats may be missed in a row; 0: sent, but not checked. Their
   * interval is the gateway's to say. */
  readonly heartbeatsMissed: number;
  /** From the first SYN to the gateway's HTTP/2 settings. */
  readonly connectMs: number;
  /** From our hello to `session_accepted`. */
  readonly sessionAcceptMs: number;
  /** The gateway may end a session in order within this; then its connection is cut. */
  readonly sessionCloseMs: number;
  /** A dead connection's socket is taken away this long after its HTTP/2 session. */
  readonly socketCloseMs: number;
  readonly reconnect: BackoffLimits;

  /** What the server of an SSH connection asks its client, and how often in vain. 0: never. */
  readonly sshKeepalive: { readonly intervalMs: number; readonly missed: number };
  /** From a relay's start to the end of the SSH handshake on it. */
  readonly sshHandshakeMs: number;
  /** Channels of one SSH connection at once: sessions and forwards. */
  readonly sshChannels: number;

  /** From the SYN to a relay's TCP target until it has answered; shorter than the gateway's wait for
   * the relay, so that the gateway hears what is wrong. */
  readonly tcpDialMs: number;
  /** A TCP target takes what is still to be sent to it within this, after its relay has ended. */
  readonly tcpFlushMs: number;
  /** The gateway ends a relay that was taken back within this; then it is cut. */
  readonly relayCloseMs: number;

  /** Files and directories that one SFTP session may have open. */
  readonly sftpHandles: number;
  /** Requests of one SFTP session that are served at once; the others wait in the channel's window. */
  readonly sftpRequests: number;
  /** An SFTP packet, in bytes. OpenSSH's limit. */
  readonly sftpPacketBytes: number;
  /** What one SFTP request reads, and what its clients are told to write with one. */
  readonly sftpTransferBytes: number;

  /** How long a process whose relay broke may run on, unread; Infinity: for ever. */
  readonly orphanWindowMs: number;
  /** Execs that run at the first stop signal may finish within this. Docker sends KILL 10 s after
   * TERM, so that this and `terminationGraceMs` have to fit in there. */
  readonly drainTimeoutMs: number;
  /** Between TERM and KILL. */
  readonly terminationGraceMs: number;
  /** From KILL until nothing of the exec may be left. */
  readonly killWaitMs: number;
  /** After a process's exit, until its output has ended. */
  readonly exitDrain: ExitDrainLimits;

  /** Of a durable exec: input that is taken ahead of its process, in bytes. */
  readonly stdinBytes: number;
  /** Input in one frame, in bytes. */
  readonly stdinFrameBytes: number;
  /** Frames with input that one channel has sent and that were not taken yet; then nothing more is read
   * of the channel. */
  readonly stdinQueueFrames: number;
  /** How long the result and the log of a durable exec are kept after its end, where its spec says
   * nothing, and at most. */
  readonly retentionMs: number;
  readonly maxRetentionMs: number;
  /** Results that are kept; the oldest goes. */
  readonly endedExecs: number;
  /** How long an id that was canceled before its start, or forgotten after its end, cannot be started,
   * and how many such ids are remembered. */
  readonly fenceMs: number;
  readonly fences: number;
  /** Questions on one channel that wait for an exec's end. */
  readonly channelQuestions: number;
  /** How long one question for an exec's end may wait for it. */
  readonly maxWaitMs: number;

  /** Execs that run, relays that wait for theirs: each for itself. */
  readonly execs: number;
  /** The output that an exec's log keeps, in bytes, with what keeps it in order. */
  readonly execLog: {
    /** Of one log in memory; what is older goes to a file. */
    readonly memoryBytes: number;
    /** Of one log, its file included, where the exec asks for nothing else. */
    readonly bytes: number;
    /** The most an exec may ask for. */
    readonly maxBytes: number;
    /** Of the log of a plain exec, in memory alone. Half of it is for what was read already: more
     * than is on its way to a gateway (the windows of SSH, of the relay and of its stream). */
    readonly plainBytes: number;
    /** Of all logs in memory; each may hold 256 KiB and a chunk whatever others take. */
    readonly memoryBytesInAll: number;
    /** Of the files of all logs. */
    readonly fileBytesInAll: number;
  };
  /** Relays to TCP targets, pending ones too. */
  readonly tcpRelays: number;
  /** Messages to the gateway that wait while the connection is full. */
  readonly sessionOutboxMessages: number;
  readonly relayPipe: RelayPipeLimits;
  /** The command line of an exec request, in bytes. Linux takes 128 KiB in one string; ssh2 1.17
   * takes no packet beyond 35_000 bytes, and ends the connection of whoever sends one. */
  readonly commandLineBytes: number;
  /** Variables that one exec may set, and the bytes of their names and values together. */
  readonly environmentEntries: number;
  readonly environmentBytes: number;
  /** Columns, and rows, of a terminal. */
  readonly terminalCells: number;

  /** Pipes that are kept ready; three go to each exec. */
  readonly pooledPipes: number;
  /** From the question to the helper that makes pipes to its answer. */
  readonly pipeHelperMs: number;

  /** A message of the gateway, in bytes. */
  readonly inboundMessageBytes: number;
  /** A message of ours, in bytes: a frame and what wraps it. */
  readonly outboundMessageBytes: number;
}

export const defaultLimits: SupervisorLimits = {
  http2Keepalive: { probeEveryMs: 10_000, deadAfterMs: 20_000 },
  heartbeatsMissed: 3,
  connectMs: 10_000,
  sessionAcceptMs: 10_000,
  sessionCloseMs: 500,
  socketCloseMs: 250,
  reconnect: { minMs: 100, maxMs: 10_000 },

  sshKeepalive: { intervalMs: 15_000, missed: 3 },
  sshHandshakeMs: 10_000,

  tcpDialMs: 5_000,
  tcpFlushMs: 5_000,
  relayCloseMs: 5_000,

  sftpHandles: 256,
  sftpRequests: 32,
  sftpPacketBytes: 256 * 1024,
  sftpTransferBytes: 64 * 1024,

  orphanWindowMs: 45_000,
  drainTimeoutMs: 3_000,
  terminationGraceMs: 5_000,
  killWaitMs: 5_000,
  // A pipe of 64 KiB, and what our own end of it had read ahead.
  exitDrain: { quietMs: 250, totalMs: 2_000, ownBytes: 256 * 1024 },

  stdinBytes: 256 * 1024,
  stdinFrameBytes: 64 * 1024,
  stdinQueueFrames: 16,
  retentionMs: 600_000,
  maxRetentionMs: 86_400_000,
  endedExecs: 1_024,
  fenceMs: 600_000,
  fences: 16_384,
  channelQuestions: 16,
  maxWaitMs: 300_000,
  sshChannels: 256,

  execs: 1_024,
  execLog: {
    memoryBytes: 1024 * 1024,
    bytes: 64 * 1024 * 1024,
    maxBytes: 1024 * 1024 * 1024,
    plainBytes: 8 * 1024 * 1024,
    memoryBytesInAll: 256 * 1024 * 1024,
    fileBytesInAll: 4 * 1024 * 1024 * 1024,
  },
  tcpRelays: 1_024,
  sessionOutboxMessages: 1_024,
  relayPipe: { maxFrameBytes: 64 * 1024, bufferBytes: 256 * 1024 },
  commandLineBytes: 128 * 1024 - 1,
  environmentEntries: 1_024,
  environmentBytes: 256 * 1024,
  terminalCells: 10_000,

  pooledPipes: 63,
  pipeHelperMs: 5_000,

  inboundMessageBytes: 4 * 1024 * 1024,
  outboundMessageBytes: 1024 * 1024,
};
