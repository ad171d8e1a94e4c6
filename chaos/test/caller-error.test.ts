// An error as its caller sees it: whose it is, what it says of the command, and whether it contradicts.
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { callerError } from "../adapters/caller-error.ts";

const side = { wished: undefined, hasDeadline: false, connectionGone: false, exited: false };
const value = { kind: "relay_lost", outcome: "unknown", execId: "e1" };
const told = new ConnectError("gone", Code.Unavailable, undefined, [
  { desc: ErrorDetailSchema, value },
]);
const canceled = new ConnectError("canceled", Code.Canceled);
const late = new ConnectError("too late", Code.DeadlineExceeded);
const bare = new ConnectError("broken", Code.Unavailable);

describe("an error that a caller was told", () => {
  it("is what its detail says", () => {
    expect(callerError(told, side)).toMatchObject({
      end: { kind: "relay_lost", outcome: "unknown", callersOwn: false },
      violations: [],
      execId: "e1",
    });
  });

  it("has no outcome without a detail", () => {
    const { end } = callerError(bare, side);
    expect(end).toMatchObject({ kind: "code_Unavailable", outcome: undefined, callersOwn: false });
  });

  it.each([
    ["caller_cancel", canceled, { wished: "caller_cancel" as const }],
    ["caller_deadline", late, { hasDeadline: true }],
    ["connection_lost", bare, { connectionGone: true }],
  ])("is the caller's own: %s", (kind, error, change) => {
    const { end } = callerError(error, { ...side, ...change });
    expect(end).toMatchObject({ kind, outcome: "unknown", callersOwn: true });
  });

  it("is not the caller's own where it set no deadline", () => {
    expect(callerError(late, side).end).toMatchObject({ callersOwn: false, outcome: undefined });
  });
});

describe("an error after the exit", () => {
  it.each([
    ["told by the server", told, {}],
    [
      "told by the server, although the caller canceled",
      told,
      { wished: "caller_cancel" as const },
    ],
    ["without a detail or a cause", bare, {}],
  ])("is a contradiction when it is %s", (_, error, change) => {
    const { violations } = callerError(error, { ...side, exited: true, ...change });
    expect(violations).toHaveLength(1);
  });

  it.each([
    ["cancel", canceled, { wished: "caller_cancel" as const }],
    ["deadline", late, { hasDeadline: true }],
    ["connection", bare, { connectionGone: true }],
  ])("is none when it is the caller's own %s", (_, error, change) => {
    expect(callerError(error, { ...side, exited: true, ...change }).violations).toEqual([]);
  });
});
