// limits.ts: every bound of the client, with its unit and default.
import type { BackoffLimits } from "@belay/relay-core/portable";

export interface ClientLimits {
  /** A gateway that has not answered yet is tried for so long. In milliseconds. */
  readonly startWindowMs: number;
  /** An exec that could be reached before is tried for so long: a restart of the gateway fits in. */
  readonly resumeWindowMs: number;
  /** Between two tries. */
  readonly backoff: BackoffLimits;
  /** One call that is answered once. The gateway itself may take 45 s to reach a sandbox. */
  readonly callMs: number;
  /** The gateway says so often that a silent stream is alive: 1_000 to 300_000. */
  readonly keepaliveIntervalMs: number;
  /** So many intervals without any message, and the path is dead. */
  readonly keepaliveMissed: number;
  /** A canceled exec's tree is confirmed to be gone within. */
  readonly cancelMs: number;
  /** What `exec()` collects of both outputs together, in bytes. */
  readonly outputBytes: number;
  /** Input in one message, in bytes. */
  readonly stdinChunkBytes: number;
  /** A process that reads no input is offered it again after so long; doubles up to the maximum. */
  readonly stdinPoll: BackoffLimits;
  /** Data per frame of a forward, in bytes. */
  readonly forwardFrameBytes: number;
  /** What a forward had sent at its target's end is believed to have arrived after so long. */
  readonly forwardSettleMs: number;
  /** The target of a forward that is left ends within. */
  readonly leaveMs: number;
  /** The token of a forward is revoked within; else it is left to expire. */
  readonly revokeMs: number;
  /** Connections of one forwarded port at once; more are closed as they come. */
  readonly forwardedConnections: number;
}

export const defaultLimits: ClientLimits = {
  startWindowMs: 10_000,
  resumeWindowMs: 300_000,
  backoff: { minMs: 100, maxMs: 10_000 },
  callMs: 60_000,
  keepaliveIntervalMs: 15_000,
  keepaliveMissed: 3,
  // Longer than the grace and the wait for KILL of a supervisor together.
  cancelMs: 20_000,
  outputBytes: 16 * 1024 * 1024,
  stdinChunkBytes: 256 * 1024,
  stdinPoll: { minMs: 50, maxMs: 1_000 },
  forwardFrameBytes: 64 * 1024,
  forwardSettleMs: 1_000,
  leaveMs: 2_000,
  revokeMs: 2_000,
  forwardedConnections: 512,
};
