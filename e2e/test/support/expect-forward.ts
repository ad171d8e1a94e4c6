// expect-forward.ts: how a forward may end: OK after all bytes, or with an error that says what is known.
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import type { ForwardEnd } from "../../src/forward.ts";

export function expectForwardOk(end: ForwardEnd): void {
  expect(end.error, String(end.error?.rawMessage)).toBeUndefined();
}

export function expectForwardError(
  { error, detail }: ForwardEnd,
  wanted: { code: Code; message: string; kind: string; outcome?: string },
): void {
  const { code, message, kind, outcome = "not_started" } = wanted;
  expect({ code: error && Code[error.code], message: error?.rawMessage }).toEqual({
    code: Code[code],
    message,
  });
  expect(detail).toMatchObject({ kind, outcome });
}
