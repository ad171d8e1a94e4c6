// evidence.ts: an exec at which everything is as it should be, for a test to spoil in one place.
import { labConfig } from "../../adapters/lab-config.ts";
import type { Fault, Strike } from "../../faults/fault.ts";
import type { Evidence } from "../../oracles/judge.ts";
import { plannedMs } from "../../work/plan.ts";
import type { PlannedExec, Work } from "../../work/plan.ts";

export const work: Work = {
  kind: "short",
  seed: 5,
  stdoutBytes: 100,
  stderrBytes: 20,
  stdinBytes: 0,
  exitCode: 3,
  signal: "",
  seconds: 0,
  count: 0,
};

export const exec: PlannedExec = {
  n: 4,
  sandbox: 1,
  via: "exec-sandbox",
  work,
  caller: {},
  plannedMs: plannedMs(work, {}),
};

export const fault: Fault = {
  id: 9,
  kind: "cut",
  exec: 4,
  afterMs: 10,
  durationMs: 0,
  path: "supervisor",
  how: "rst",
  direction: "both",
  amount: 0,
};

export const strike: Strike = { fault, sandbox: 1, startedMs: 1_010, wellMs: 1_500, notes: [] };

export const start = { pid: 123, atUptime: 50, startTicks: "5000" };

export function evidence(change: Partial<Evidence> = {}): Evidence {
  return {
    exec,
    view: {
      startedMs: 1_000,
      endedMs: 1_200,
      lastMessageMs: 1_199,
      end: { is: "exit", exitCode: 3, signal: "", reason: "exited", outputIncomplete: false },
      streams: {
        stdout: { receivedBytes: 100, differences: [] },
        stderr: { receivedBytes: 20, differences: [] },
      },
      violations: [],
    },
    recorded: {
      starts: [start],
      end: {
        is: "exit",
        exitCode: 3,
        written: { stdout: 100, stderr: 20 },
        stdinBytes: 0,
        atUptime: 50.1,
      },
      heardTerm: false,
      leftBehind: [],
    },
    strikes: [],
    aliveAtEnd: [],
    survivors: [],
    config: labConfig,
    ...change,
  };
}

/** The same, ended by an error. */
export function withError(
  error: Partial<Extract<Evidence["view"]["end"], { is: "error" }>>,
  change: Partial<Evidence> = {},
): Evidence {
  const good = evidence(change);
  const end = {
    is: "error" as const,
    kind: "relay_lost",
    outcome: "unknown" as string | undefined,
    callersOwn: false,
    message: "",
    ...error,
  };
  return { ...good, view: { ...good.view, end } };
}
