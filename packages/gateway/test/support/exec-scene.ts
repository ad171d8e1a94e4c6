// exec-scene.ts: an exec from its request to its last event, with everything of the gateway that
// takes part in it, and a supervisor in this process.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BelayError, ExecSandboxRequestSchema } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";
import { ManualClock, until } from "@belay/relay-core/testing";
import { ExecInput } from "../../src/exec/exec-input.ts";
import { runExec } from "../../src/exec/run-exec.ts";
import type { RunExecDeps } from "../../src/exec/run-exec.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { Metrics } from "../../src/ops/metrics.ts";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { FakeSupervisor } from "./fake-supervisor.ts";
import type { FakeCommand, SupervisorScript } from "./fake-supervisor.ts";
import { logLines } from "./log-lines.ts";
import type { LogLine } from "./log-lines.ts";
import { never, testLimits } from "./test-limits.ts";

export interface ExecScene {
  readonly clock: ManualClock;
  readonly deps: RunExecDeps;
  readonly supervisor: FakeSupervisor;
  readonly lines: LogLine[];
  /** Starts an exec; a client reads its events as they come, unless `slow` holds it. */
  exec(request?: MessageInitShape<typeof ExecSandboxRequestSchema>, input?: ExecInput): RunningExec;
}

export interface RunningExec {
  readonly abort: AbortController;
  readonly events: ExecSandboxEvent[];
  /** The stream's end: undefined when it ended OK, else its error. Comes before `finished`. */
  readonly ended: Promise<BelayError | undefined>;
  /** All that the exec had opened is closed. */
  readonly finished: Promise<void>;
  text(stream: "stdout" | "stderr"): string;
  exit(): { exitCode: number; reason: string; signal: string; outputIncomplete: boolean };
  /** Resolves when the command has started. */
  started(): Promise<FakeCommand>;
}

export function execScene(
  script: SupervisorScript = {},
  options: { limits?: Partial<GatewayLimits>; features?: string[]; session?: boolean } = {},
): ExecScene {
  const clock = new ManualClock();
  const limits = testLimits(options.limits);
  const sessions = new SessionRegistry(limits, clock);
  const relays = new RelayBroker(limits, clock, { sessionFanout: true });
  const supervisor = new FakeSupervisor(relays, script, {
    ...(options.features && { features: options.features }),
  });
  if (options.session !== false) sessions.add(supervisor.session);
  const { log, lines } = logLines();
  const metrics = new Metrics({
    sessions: () => 0,
    relays: () => 0,
    runningExecs: () => 0,
    openForwards: () => 0,
  });
  const connections = {
    open: () => Promise.reject(new Error("only durable execs have conversations")),
  };
  const deps: RunExecDeps = { sessions, relays, connections, metrics, limits, clock, log };
  return {
    clock,
    deps,
    supervisor,
    lines,
    exec: (request = {}, input) => start(deps, supervisor, request, input),
  };
}

function start(
  deps: RunExecDeps,
  supervisor: FakeSupervisor,
  request: MessageInitShape<typeof ExecSandboxRequestSchema>,
  input: ExecInput | undefined,
): RunningExec {
  const abort = new AbortController();
  const handoff = new Handoff<ExecSandboxEvent>();
  const events: ExecSandboxEvent[] = [];
  const before = supervisor.commands.length;
  const full = create(ExecSandboxRequestSchema, {
    sandboxId: "sb-1",
    command: ["true"],
    ...request,
  });
  const exec = { id: "exec-1", request: full, input: input ?? ExecInput.whole(full.stdin) };
  const finished = runExec(exec, handoff, deps, { signal: abort.signal, background: never });
  const ended = readEvents(handoff, events);
  return {
    abort,
    events,
    ended,
    finished,
    text: (stream) => textOf(events, stream),
    exit() {
      const last = events.at(-1)?.payload;
      if (last?.case !== "exit") throw new Error("the last event is no exit");
      const { exitCode, reason, signal, outputIncomplete } = last.value;
      return { exitCode, reason, signal, outputIncomplete };
    },
    async started() {
      await until(() => supervisor.commands.length > before, "the command has started");
      return supervisor.commands[before]!;
    },
  };
}

async function readEvents(
  handoff: Handoff<ExecSandboxEvent>,
  events: ExecSandboxEvent[],
): Promise<BelayError | undefined> {
  try {
    for await (const event of handoff) events.push(event);
    return undefined;
  } catch (error) {
    if (error instanceof BelayError) return error;
    throw error;
  }
}

function textOf(events: readonly ExecSandboxEvent[], stream: "stdout" | "stderr"): string {
  const parts = events.flatMap(({ payload }) =>
    payload.case === stream ? [Buffer.from(payload.value.data)] : [],
  );
  return Buffer.concat(parts).toString("latin1");
}
