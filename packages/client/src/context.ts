// context.ts: what every part of one client shares.
import type { Client } from "@connectrpc/connect";
import type { BelayError, ExecService, OpenShell } from "@belay/protocol";
import type { Clock } from "@belay/relay-core/portable";
import type { ClientLimits } from "./limits.ts";

/** Takes bytes piece by piece. `node:crypto` and @noble/hashes both have it. */
export interface Sha256 {
  update(data: Uint8Array): unknown;
  digest(): Uint8Array;
}

/** The way to the gateway or to an exec is lost; the client will try again. */
export interface Pause {
  readonly error: BelayError;
  /** Of this pause: 1 for its first failure. */
  readonly failures: number;
  readonly nextTryInMs: number;
}

export interface ClientContext {
  readonly execs: Client<typeof ExecService>;
  readonly openshell: Client<typeof OpenShell>;
  readonly limits: ClientLimits;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly sha256: () => Sha256;
  readonly onPause: (pause: Pause) => void;
}
