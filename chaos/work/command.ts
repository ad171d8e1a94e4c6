// command.ts: the command line of a planned exec's work, the same for every adapter.
import { fileURLToPath } from "node:url";
import { patternOf } from "./pattern.mjs";
import type { Work } from "./plan.ts";

const shellProgram = fileURLToPath(new URL("program.sh", import.meta.url));
const nodeProgram = fileURLToPath(new URL("program.mjs", import.meta.url));

const inNode: ReadonlySet<string> = new Set(["large", "chatty", "echo"]);

export function commandOf(work: Work, sideFolder: string): string[] {
  if (inNode.has(work.kind)) {
    const { kind, seed, stdoutBytes, stderrBytes, exitCode, seconds, count } = work;
    const plan = { kind, seed, stdoutBytes, stderrBytes, exitCode, seconds, count };
    return [process.execPath, nodeProgram, sideFolder, JSON.stringify(plan)];
  }
  const text = (stream: "stdout" | "stderr") =>
    patternOf(work[`${stream}Bytes`], work.seed, stream).toString("latin1");
  const numbers = [work.exitCode, work.signal || "none", work.seconds, work.count].map(String);
  return [
    "/bin/sh",
    shellProgram,
    sideFolder,
    work.kind,
    text("stdout"),
    text("stderr"),
    ...numbers,
  ];
}

export function inputOf(work: Work): Buffer<ArrayBuffer> {
  return patternOf(work.stdinBytes, work.seed, "stdin");
}

/** Which pattern a stream of the exec shows: an echo's output is its input. */
export function patternStreamOf(
  work: Work,
  stream: "stdout" | "stderr",
): "stdout" | "stderr" | "stdin" {
  return work.kind === "echo" && stream === "stdout" ? "stdin" : stream;
}
