// expect-exec.ts: what tests say of an exec's end, in words of the contract.
import type { Code } from "@connectrpc/connect";
import type { ErrorKind, Outcome, RetryAdvice } from "@belay/protocol";
import { expect } from "vitest";
import type { ExecResult, RunningExec } from "../../src/collect-exec.ts";
import { sleepMs } from "../../src/wait.ts";

/** What "at once" may take when the machine is busy; every backstop that could be mistaken for it is off or far longer. */
export const atOnceMs = 2_000;

/** Added to a backstop's bound: what a busy machine of two cores may take on top. */
export const slackMs = 2_500;

export interface ExpectedError {
  code: Code;
  /** The whole text, or a part that a pattern names. */
  message: string | RegExp;
  kind: ErrorKind;
  outcome: Outcome;
  retry: RetryAdvice;
  /** Ids that the detail must hold. Defaults to the exec's and the sandbox's. */
  ids?: readonly ("execId" | "sandboxId" | "sessionId" | "channelId")[];
}

export function expectError(result: ExecResult, expected: ExpectedError): void {
  const { code, kind, outcome, retry, ids = ["execId", "sandboxId"] } = expected;
  const message =
    typeof expected.message === "string"
      ? expected.message
      : expect.stringMatching(expected.message);
  expect(result).toMatchObject({
    hung: false,
    violations: [],
    exit: undefined,
    code,
    error: { rawMessage: message },
    detail: { kind, outcome, retry, retryAfterMs: retry === "later" ? 1_000 : 0 },
  });
  for (const id of ids) expect(result.detail?.[id], id).not.toBe("");
}

export function expectExit(result: ExecResult, exitCode: number, stdout?: string): void {
  const { hung, violations, error } = result;
  // The error as text: what stands in a failed test's message is then what went wrong.
  const summary = { hung, violations, error: error?.message, exitCode: result.exitCode };
  expect(summary).toEqual({ hung: false, violations: [], error: undefined, exitCode });
  if (stdout !== undefined) expect(result.stdout.toString()).toBe(stdout);
}

/** The exec neither ends nor fails for so long: what a fault does when nothing watches for it. */
export async function expectParked(run: RunningExec, forMs: number): Promise<void> {
  const ended = await Promise.race([run.result, sleepMs(forMs)]);
  expect(ended, "ended without its backstop").toBeUndefined();
}

/** Resolves with the result and with how long it took from now, or from `sinceMs`. */
export async function timeToEnd(
  run: RunningExec,
  sinceMs = performance.now(),
): Promise<{ result: ExecResult; tookMs: number }> {
  const result = await run.result;
  return { result, tookMs: performance.now() - sinceMs };
}
