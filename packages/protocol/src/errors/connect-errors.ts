// connect-errors.ts: the one translation between Belay's errors and Connect's, each way.
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "../gen/belay/v1/error_detail_pb.ts";
import { BelayError } from "./belay-error.ts";
import { ERROR_KINDS, RETRY_LATER_MS, isErrorKind, parseOutcome } from "./error-kinds.ts";
import type { ErrorKind } from "./error-kinds.ts";

/**
 * What goes to the peer. Anything that is not a BelayError becomes `internal` with a fixed text:
 * a foreign error's message may quote an argument or a secret. A ConnectError that connect itself
 * threw while it read the request keeps its code and text.
 */
export function toConnectError(reason: unknown): ConnectError {
  if (reason instanceof BelayError) return encode(reason);
  if (reason instanceof ConnectError) {
    if (reason.findDetails(ErrorDetailSchema).length > 0) return reason;
    const kind = kindOfCode(reason.code);
    return encode(new BelayError(kind, reason.rawMessage, { cause: reason }), reason.code);
  }
  return encode(new BelayError("internal", "internal error", { cause: reason }));
}

/** What a peer's error status says, in our words; foreign statuses keep their text. */
export function fromConnectError(reason: unknown): BelayError {
  if (reason instanceof BelayError) return reason;
  const error = ConnectError.from(reason);
  const [detail] = error.findDetails(ErrorDetailSchema);
  if (detail === undefined || !isErrorKind(detail.kind)) {
    return new BelayError(kindOfCode(error.code), error.rawMessage, {
      outcome: detail === undefined ? "unknown" : parseOutcome(detail.outcome),
      cause: reason,
    });
  }
  return new BelayError(detail.kind, error.rawMessage, {
    outcome: parseOutcome(detail.outcome),
    ids: {
      ...(detail.sandboxId && { sandboxId: detail.sandboxId }),
      ...(detail.execId && { execId: detail.execId }),
      ...(detail.sessionId && { sessionId: detail.sessionId }),
      ...(detail.channelId && { channelId: detail.channelId }),
    },
    cause: reason,
  });
}

function encode(error: BelayError, code: Code = ERROR_KINDS[error.kind].code): ConnectError {
  const value = create(ErrorDetailSchema, {
    kind: error.kind,
    outcome: error.outcome,
    retry: error.retry,
    retryAfterMs: error.retry === "later" ? RETRY_LATER_MS : 0,
    sandboxId: error.ids.sandboxId ?? "",
    execId: error.ids.execId ?? "",
    sessionId: error.ids.sessionId ?? "",
    channelId: error.ids.channelId ?? "",
  });
  return new ConnectError(
    error.message,
    code,
    undefined,
    [{ desc: ErrorDetailSchema, value }],
    error,
  );
}

function kindOfCode(code: Code): ErrorKind {
  switch (code) {
    case Code.Canceled:
      return "canceled";
    case Code.DeadlineExceeded:
      return "deadline_exceeded";
    case Code.InvalidArgument:
      return "invalid_request";
    case Code.ResourceExhausted:
      return "limit_exceeded";
    case Code.Unauthenticated:
      return "unauthenticated";
    case Code.PermissionDenied:
      return "permission_denied";
    case Code.Unimplemented:
      return "unimplemented";
    case Code.Unavailable:
    case Code.Aborted:
      return "session_lost";
    default:
      return "internal";
  }
}
