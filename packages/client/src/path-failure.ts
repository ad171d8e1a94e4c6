// path-failure.ts: which errors concern the way to an exec, not the exec: those are tried again.
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, ERROR_KINDS, ErrorDetailSchema } from "@belay/protocol";

/** What a cut connection may look like, according to who cut it how (and proxies with 408, 502 …). */
const CUT: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.Unknown,
  Code.Internal,
  Code.DeadlineExceeded,
  Code.DataLoss,
]);

/** Of those, what a gateway itself says of a way that may come back. */
const PASSING: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
]);

/** These say that looking again shows nothing else. */
const FINAL: ReadonlySet<string> = new Set(["exec_lost", "termination_unconfirmed"]);

/**
 * @param answered whether the stream had begun. What ends it then without a word from the gateway is
 * a cut, whatever it looks like: half a message is INVALID_ARGUMENT to connect.
 */
export function isPathFailure(reason: unknown, { answered = false } = {}): boolean {
  if (reason instanceof BelayError) {
    return mayPass(reason.kind, reason.retry, ERROR_KINDS[reason.kind].code);
  }
  const error = ConnectError.from(reason);
  const [detail] = error.findDetails(ErrorDetailSchema);
  if (detail) return mayPass(detail.kind, detail.retry, error.code);
  return answered || CUT.has(error.code);
}

/** Whether the error says that the call did nothing, so that even what must not be done twice may be. */
export function didNothing(reason: unknown): boolean {
  if (reason instanceof BelayError) return reason.outcome === "not_started";
  const [detail] = ConnectError.from(reason).findDetails(ErrorDetailSchema);
  return detail?.outcome === "not_started";
}

function mayPass(kind: string, retry: string, code: Code): boolean {
  if (retry === "now" || retry === "later") return true;
  return retry === "follow" && !FINAL.has(kind) && PASSING.has(code);
}
