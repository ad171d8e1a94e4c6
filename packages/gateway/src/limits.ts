// limits.ts: every bound of the gateway, with its unit and default. main.ts makes the ones that a
// deployment may want to change into options; architecture/gateway.md says which backstop each is.
import type { ExitDrainLimits, HeartbeatLimits, LivenessLimits } from "@belay/relay-core";

export interface GatewayLimits {
  /** HTTP/2 PING on every connection; any byte received counts as life. */
  readonly http2Keepalive: LivenessLimits;
  /** Heartbeats on each session, sent and checked. */
  readonly heartbeat: HeartbeatLimits;
  /** SSH keepalive on each SSH connection; any byte received on its relay counts as life. */
  readonly sshKeepalive: LivenessLimits;

  /** A new connection says which HTTP it speaks. */
  readonly firstBytesMs: number;
  /** The first message of a ConnectSupervisor, RelayStream, ForwardTcp or ExecSandboxInteractive. */
  readonly firstMessageMs: number;
  /** A request may go on for so long after its response has ended; then its stream is closed. */
  readonly requestLingerMs: number;
  /** The end of a forward's request, or an interactive exec's, is taken for one when no reset has
   * followed within this: Node's clients end a stream just before they reset it (0.5 to 5 ms, 40 ms
   * behind a proxy; measured). */
  readonly callerEndSettleMs: number;
  /** An exec, or a forward, waits for its sandbox's session. */
  readonly sessionWaitMs: number;
  /** From RelayOpen to the RelayStream that claims it. */
  readonly relayWaitMs: number;
  readonly sshReadyMs: number;
  /** From the request for a channel to the reply to what is started on it: a command, or the exec
   * subsystem. */
  readonly execStartMs: number;
  /** An SSH connection that execs shared is kept so long without one. */
  readonly connectionIdleMs: number;
  /** After an exit status, until both streams and the channel have ended. */
  readonly postExit: ExitDrainLimits;
  /** Between TERM and KILL. */
  readonly terminationGraceMs: number;
  /** From KILL to the report that the process group is gone. */
  readonly killWaitMs: number;
  /** A lost way to a sandbox comes back within this, or its durable execs are given up here. The
   * supervisor keeps them longer. */
  readonly resumeWindowMs: number;
  /** The supervisor answers a frame about a durable exec. */
  readonly execAnswerMs: number;
  /** WriteStdin waits for the process to read, then says how far it got. */
  readonly stdinWaitMs: number;
  /** Execs that run at SIGTERM may finish within this. */
  readonly drainTimeoutMs: number;
  /** Connections may flush what they have within this, at the very end. */
  readonly closeConnectionsMs: number;
  /** The same after a second stop signal: enough to tell each caller why its exec ended. */
  readonly closeConnectionsNowMs: number;

  readonly sessions: number;
  readonly execs: number;
  readonly execsPerSandbox: number;
  /** Calls of ExecService that are under way. */
  readonly execCalls: number;
  /** How long the token of an SSH session may be used. */
  readonly sshSessionMs: number;
  readonly sshSessionsPerSandbox: number;
  /** Forwards that are open by one SSH session's token. */
  readonly connectionsPerSshSession: number;
  /** Forwards to the SSH server that are open in one sandbox. */
  readonly sshPerSandbox: number;
  /** Forwards to TCP ports that are open in one sandbox. */
  readonly forwardsPerSandbox: number;
  /** Forwards of one sandbox whose relays are being opened; more of them wait for their turn. */
  readonly forwardsOpeningPerSandbox: number;
  readonly pendingRelays: number;
  readonly pendingRelaysPerSandbox: number;
  /** Channels on an SSH connection that execs share, spare ones and those that are being closed
   * included; beyond it, a new relay. */
  readonly execsPerConnection: number;
  /** Of these, kept ready for the next exec, which then costs no round trip before its first frame. */
  readonly spareChannels: number;
  /** Messages to a supervisor that wait while its connection is full. */
  readonly sessionOutboxMessages: number;

  readonly commandArguments: number;
  readonly argumentBytes: number;
  /** The whole command line of the plain form, quoted. Linux takes 128 KiB in one string. */
  readonly commandLineBytes: number;
  readonly workdirBytes: number;
  readonly environmentEntries: number;
  readonly environmentBytes: number;
  readonly terminalCells: number;
  /** Input that the client of an interactive exec has sent and that was not taken yet, besides one
   * message; then nothing more of the client's is read. */
  readonly stdinBytes: number;
  /** With input for a durable exec, under way to a supervisor that has not answered them. Supervisors
   * queue as many; one more would hold up what comes behind. */
  readonly stdinFrames: number;

  readonly inboundMessageBytes: number;
  readonly outboundMessageBytes: number;
  /** Output per event. */
  readonly outputChunkBytes: number;
  /** Data per frame of a forward. */
  readonly forwardFrameBytes: number;
}

export const defaultLimits: GatewayLimits = {
  http2Keepalive: { probeEveryMs: 10_000, deadAfterMs: 20_000 },
  heartbeat: { intervalMs: 10_000, missed: 3 },
  sshKeepalive: { probeEveryMs: 15_000, deadAfterMs: 45_000 },

  firstBytesMs: 10_000,
  firstMessageMs: 10_000,
  requestLingerMs: 10_000,
  callerEndSettleMs: 50,
  sessionWaitMs: 15_000,
  relayWaitMs: 10_000,
  sshReadyMs: 10_000,
  execStartMs: 10_000,
  connectionIdleMs: 60_000,
  // A foreign server may report the exit before it has sent what its channel window still holds.
  postExit: { quietMs: 500, totalMs: 10_000, ownBytes: 2 * 1024 * 1024 + 64 * 1024 },
  terminationGraceMs: 5_000,
  // The supervisor waits 5 s for a killed group; whoever depends on the other gives up later here,
  // because only the supervisor can know that the group is gone.
  killWaitMs: 10_000,
  resumeWindowMs: 30_000,
  execAnswerMs: 10_000,
  stdinWaitMs: 5_000,
  drainTimeoutMs: 30_000,
  closeConnectionsMs: 2_000,
  closeConnectionsNowMs: 250,

  sessions: 10_000,
  execs: 4_096,
  execsPerSandbox: 256,
  execCalls: 4_096,
  sshSessionMs: 24 * 60 * 60 * 1_000,
  sshSessionsPerSandbox: 1_024,
  connectionsPerSshSession: 3,
  sshPerSandbox: 20,
  forwardsPerSandbox: 512,
  forwardsOpeningPerSandbox: 16,
  pendingRelays: 256,
  pendingRelaysPerSandbox: 32,
  execsPerConnection: 64,
  spareChannels: 4,
  sessionOutboxMessages: 1_024,

  commandArguments: 1_024,
  argumentBytes: 32 * 1024,
  commandLineBytes: 128 * 1024 - 1,
  workdirBytes: 4_096,
  environmentEntries: 1_024,
  environmentBytes: 256 * 1024,
  terminalCells: 10_000,
  stdinBytes: 256 * 1024,
  stdinFrames: 16,

  inboundMessageBytes: 4 * 1024 * 1024,
  outboundMessageBytes: 1024 * 1024,
  outputChunkBytes: 32 * 1024,
  forwardFrameBytes: 64 * 1024,
};
