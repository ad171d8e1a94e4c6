// exit-codes.ts: what our exit code says. A command's own is passed on as it is.
import { constants } from "node:os";

/** Belay's own failures, a command line that cannot be followed included: most commands leave it free. */
export const BELAY_FAILED = 255;

/** As a shell reports a program that a signal ended. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
