// programs.ts: what the sandbox of these tests can run.
import type { FakeExec, FakeProgram } from "@belay/client/testing";

const encoder = new TextEncoder();

/** Ten bytes a line, so that a missing one shows. */
export function lines(count: number): Uint8Array {
  let text = "";
  for (let n = 0; n < count; n += 1) text += `${String(n).padStart(9, "0")}\n`;
  return encoder.encode(text);
}

export const programs: Readonly<Record<string, FakeProgram>> = {
  echo: (exec) => {
    exec.write("stdout", `${exec.spec.command.slice(1).join(" ")}\n`);
    exec.end();
  },
  /** `exit CODE`, with a word on stderr. */
  exit: (exec) => {
    exec.write("stderr", "leaving\n");
    exec.end({ exitCode: Number(exec.spec.command[1]) });
  },
  /** `lines COUNT` */
  lines: (exec) => {
    exec.write("stdout", lines(Number(exec.spec.command[1])));
    exec.end();
  },
  cat: (exec) => void copy(exec),
  sleep: () => {},
  /** Prints much, and does not end. */
  flood: (exec) => exec.write("stdout", lines(400_000)),
  late: (exec) => exec.end({ reason: "timed_out", exitCode: 124, processesEnded: 2 }),
  killed: (exec) => exec.end({ reason: "signaled", exitCode: 137, signal: "KILL" }),
};

async function copy(exec: FakeExec): Promise<void> {
  if (exec.spec.stdin) while (!exec.stdinEnded && !exec.exit) await exec.nextChange();
  exec.write("stdout", exec.stdin);
  exec.end();
}
