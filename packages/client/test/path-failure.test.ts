import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, ERROR_KINDS, toConnectError } from "@belay/protocol";
import type { ErrorKind } from "@belay/protocol";
import { expect, it } from "vitest";
import { isPathFailure } from "../src/path-failure.ts";

it("tries again what concerns the way, as the gateway says it", () => {
  const kinds = Object.keys(ERROR_KINDS) as ErrorKind[];
  const final = kinds.filter((kind) => !isPathFailure(toConnectError(new BelayError(kind, ""))));
  expect(final).toEqual([
    "invalid_request",
    "protocol_violation",
    "unauthenticated",
    "permission_denied",
    "unimplemented",
    "sandbox_not_found",
    "relay_not_found",
    "termination_unconfirmed",
    "exec_not_found",
    "exec_conflict",
    "exec_fenced",
    "exec_ended",
    "offset_out_of_range",
    "exec_lost",
    "internal",
  ]);
});

it.each([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unknown, Code.Internal])(
  "takes code %i without a word from the gateway for a cut connection",
  (code) => expect(isPathFailure(new ConnectError("reset", code))).toBe(true),
);

it("takes half a message for a cut only when the stream had begun", () => {
  const half = new ConnectError("incomplete envelope", Code.InvalidArgument);
  expect(isPathFailure(half)).toBe(false);
  expect(isPathFailure(half, { answered: true })).toBe(true);
  const refused = toConnectError(new BelayError("invalid_request", "no"));
  expect(isPathFailure(refused, { answered: true })).toBe(false);
});
