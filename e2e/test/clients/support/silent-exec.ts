// silent-exec.ts: a command that says nothing for longer than a proxy waits, followed through that proxy to its end.
import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { execService } from "./foreign-client.ts";
import type { Answer, Json, Method } from "./foreign-client.ts";

export interface SilentExec {
  call: (method: Method, request: Json) => Promise<Answer>;
  sandboxId: string;
  silentSeconds: number;
}

/** One call of FollowExec has everything: nothing was cut, so nothing had to be resumed. */
export async function expectSilentExecFollowed(silent: SilentExec): Promise<void> {
  const { call, sandboxId, silentSeconds } = silent;
  const ids = { sandboxId, execId: randomUUID() };
  const command = ["sh", "-c", `echo before; sleep ${silentSeconds}; echo after; exit 5`];
  const started = await call(execService("StartExec"), { ...ids, spec: { command } });
  expect(started.error).toBeUndefined();
  const { messages, error } = await call(execService("FollowExec", "stream"), {
    ...ids,
    keepaliveIntervalMs: 1_000,
  });
  expect(error).toBeUndefined();
  const pieces = messages.map((message) => (message["output"] as Json | undefined)?.["data"]);
  const bytes = pieces.map((data) => Buffer.from(typeof data === "string" ? data : "", "base64"));
  expect(Buffer.concat(bytes).toString()).toBe("before\nafter\n");
  expect(messages.at(-1)).toMatchObject({ exit: { reason: "exited", exitCode: 5 } });
  expect(messages.some((message) => message["keepalive"] !== undefined)).toBe(true);
}
