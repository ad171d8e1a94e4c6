// exec-answer.ts: what a foreign client got of an ExecSandbox, put together.
import type { Answer, Json } from "./foreign-client.ts";

/** All bytes of one output, in the order in which they came. */
export function output({ messages }: Answer, stream: "stdout" | "stderr"): Buffer {
  const pieces = messages.map((message) => message[stream] as { data?: string } | undefined);
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece?.data ?? "", "base64")));
}

/** Undefined when no exit came. A code of 0 is not written in JSON. */
export function exitCode({ messages }: Answer): number | undefined {
  const exit = messages.map((message) => message["exit"] as Json | undefined).find(Boolean);
  return exit && Number(exit["exitCode"] ?? 0);
}
