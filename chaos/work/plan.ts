// plan.ts: what one exec does and what its caller does to it. Data only, the same for the same seed.
import { Random } from "./random.ts";

export type WorkKind =
  | "short"
  | "silent"
  | "chatty"
  | "large"
  | "echo"
  | "signal"
  | "holder"
  | "leaver"
  | "family"
  | "polite"
  | "stubborn"
  | "forks"
  | "deaf";

export interface Work {
  kind: WorkKind;
  /** Of the bytes on every stream. */
  seed: number;
  stdoutBytes: number;
  stderrBytes: number;
  /** What the caller sends; the bytes are the pattern of the stream "stdin". */
  stdinBytes: number;
  exitCode: number;
  /** Without SIG; empty when it ends by itself. */
  signal: string;
  seconds: number;
  /** Forks, or pieces of output. */
  count: number;
}

export interface CallerPlan {
  /** Cancels so long after the call. */
  cancelAfterMs?: number;
  /** The request's own timeout; whole seconds, as the contract has it. */
  timeoutSeconds?: number;
  /** The caller's deadline, known to the server. */
  deadlineMs?: number;
  /** Waits before each further message. */
  readDelayMs?: number;
  /** Reads nothing at all for so long, after the first message. */
  pauseMs?: number;
}

/** By what the exec is asked for: the RPC of OpenShell, or @belay/client, which needs durable execs. */
export type Via = "exec-sandbox" | "client";

export interface PlannedExec {
  /** Its number in the run, from 0. */
  n: number;
  sandbox: number;
  via: Via;
  work: Work;
  caller: CallerPlan;
  /** What it takes at most by itself on a busy machine, slow reader included. */
  plannedMs: number;
}

export type WorkMix = Partial<Record<WorkKind, number>>;

export const everyWork: WorkMix = {
  short: 26,
  silent: 14,
  chatty: 8,
  large: 14,
  echo: 9,
  signal: 6,
  holder: 3,
  leaver: 2,
  family: 4,
  polite: 3,
  stubborn: 3,
  forks: 3,
  deaf: 5,
};

export interface WorkLimits {
  maxOutputBytes: number;
  maxStdinBytes: number;
  maxSeconds: number;
}

export const defaultWorkLimits: WorkLimits = {
  maxOutputBytes: 8 * 1024 * 1024,
  maxStdinBytes: 1024 * 1024,
  maxSeconds: 2.5,
};

/** For a run that has to be short. */
export const smallWorkLimits: WorkLimits = {
  maxOutputBytes: 2 * 1024 * 1024,
  maxStdinBytes: 256 * 1024,
  maxSeconds: 1.5,
};

const signals = ["TERM", "KILL", "INT", "HUP", "QUIT", "ABRT", "SEGV", "USR1", "PIPE", "ALRM"];

/** Starting a process of the lab's own under load, Node included. */
const startMs = 1_500;
/** Slowest flow that the lab expects of a healthy path on a busy machine. */
const bytesPerMs = 1_000;
/** Bytes that a server puts into one message at most; the slow reader's delay is per message. */
const messageBytes = 16 * 1024;

export function planExec(
  seed: number,
  n: number,
  sandbox: number,
  mix: WorkMix = everyWork,
  limits: WorkLimits = defaultWorkLimits,
): PlannedExec {
  const random = new Random(seed, "work", n);
  const work = planWork(random.weighted(mix), random, limits);
  const caller = planCaller(work, random);
  return { n, sandbox, via: "exec-sandbox", work, caller, plannedMs: plannedMs(work, caller) };
}

/** @param share of all execs that go through the client; it changes nothing else of them. */
export function viaOf(seed: number, n: number, share: number): Via {
  return new Random(seed, "via", n).chance(share) ? "client" : "exec-sandbox";
}

function planWork(kind: WorkKind, random: Random, limits: WorkLimits): Work {
  const work: Work = {
    kind,
    seed: random.int(1, 0x7fffffff),
    stdoutBytes: random.chance(0.8) ? random.int(1, 600) : 0,
    stderrBytes: random.chance(0.4) ? random.int(1, 300) : 0,
    stdinBytes: 0,
    // 255 and 124 and all above 128 are ordinary codes, however special others make them.
    exitCode: random.chance(0.5)
      ? 0
      : random.pick([1, 2, 3, 42, 124, 126, 127, 128, 137, 143, 254, 255]),
    signal: "",
    seconds: 0,
    count: 0,
  };
  const seconds = (min: number) =>
    Math.round((min + random.unit() * (limits.maxSeconds - min)) * 100) / 100;
  switch (kind) {
    case "short":
      return { ...work, exitCode: random.chance(0.6) ? work.exitCode : random.int(0, 255) };
    case "silent":
      return { ...work, seconds: seconds(0.3) };
    case "chatty":
      return {
        ...work,
        stdoutBytes: random.logInt(1_000, 200_000),
        stderrBytes: random.chance(0.5) ? random.logInt(100, 50_000) : 0,
        seconds: seconds(0.3),
        count: random.int(10, 150),
      };
    case "large": {
      const bytes = () => random.logInt(64 * 1024, limits.maxOutputBytes);
      const where = random.weighted({ stdout: 3, stderr: 1, both: 2 });
      return {
        ...work,
        stdoutBytes: where === "stderr" ? 0 : bytes(),
        stderrBytes: where === "stdout" ? 0 : bytes(),
      };
    }
    case "echo":
      return {
        ...work,
        stdoutBytes: 0,
        stderrBytes: 0,
        stdinBytes: random.chance(0.1) ? 0 : random.logInt(1, limits.maxStdinBytes),
      };
    case "signal":
      return { ...work, signal: random.pick(signals) };
    case "holder":
    case "leaver":
      return { ...work, seconds: 30 };
    case "family":
    case "polite":
    case "stubborn":
      return { ...work, seconds: seconds(0.5), ...(kind === "polite" && { exitCode: 7 }) };
    case "forks":
      return { ...work, count: random.int(20, 120) };
    case "deaf":
      return { ...work, stdinBytes: random.logInt(32, limits.maxStdinBytes) };
    default:
      return kind satisfies never;
  }
}

/** At most one thing at a time: what the caller sees then has one cause. */
function planCaller(work: Work, random: Random): CallerPlan {
  const ownMs = work.kind === "holder" || work.kind === "leaver" ? 100 : work.seconds * 1_000 + 200;
  const long = work.seconds >= 1 && ownMs > 1_000;
  const what = random.weighted({
    nothing: 70,
    cancel: 10,
    timeout: long ? 14 : 2,
    deadline: 4,
    slow: work.kind === "large" || work.kind === "chatty" ? 30 : 0,
  });
  switch (what) {
    case "cancel":
      return { cancelAfterMs: random.int(1, Math.ceil(ownMs)) };
    case "timeout":
      return { timeoutSeconds: long ? 1 : random.int(20, 60) };
    case "deadline":
      return { deadlineMs: random.int(50, Math.ceil(ownMs) + 500) };
    case "slow":
      return random.chance(0.5)
        ? { readDelayMs: random.int(1, 8) }
        : { pauseMs: random.int(300, 2_500) };
    default:
      return {};
  }
}

export function plannedMs(work: Work, caller: CallerPlan): number {
  const bytes = work.stdoutBytes + work.stderrBytes + 2 * work.stdinBytes;
  const ownSeconds = work.kind === "holder" || work.kind === "leaver" ? 0 : work.seconds + 1;
  // A chatty command sends many small messages, each with its delay.
  const messages = bytes / messageBytes + 2 * work.count + 4;
  const readerMs = (caller.readDelayMs ?? 0) * messages * 1.5 + (caller.pauseMs ?? 0);
  return Math.round(startMs + ownSeconds * 1_000 + bytes / bytesPerMs + readerMs + work.count * 10);
}
