// durable-scene.ts: what durable execs need of the gateway, with the model of a supervisor.
import { create } from "@bufbuild/protobuf";
import { BelayError, ExecSpecSchema, OutputStream } from "@belay/protocol";
import { ManualClock, isSettled } from "@belay/relay-core/testing";
import { followDurably } from "../../src/exec/durable/follow-durably.ts";
import type { FollowEnd, FollowOptions } from "../../src/exec/durable/follow-durably.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { Metrics } from "../../src/ops/metrics.ts";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { logLines } from "./log-lines.ts";
import { ModelSupervisor } from "./model-supervisor.ts";
import type { ModelOptions } from "./model-supervisor.ts";
import { testLimits } from "./test-limits.ts";

export const spec = create(ExecSpecSchema, { command: ["run"], stdin: true });

export function durableScene(model: ModelOptions = {}, limits: Partial<GatewayLimits> = {}) {
  const clock = new ManualClock();
  const supervisor = new ModelSupervisor(model);
  const all = testLimits(limits);
  const sessions = new SessionRegistry(all, clock);
  const session = supervisor.session();
  sessions.add(session);
  const { log, lines } = logLines();
  const metrics = new Metrics({
    sessions: () => 0,
    relays: () => 0,
    runningExecs: () => 0,
    openForwards: () => 0,
  });
  const relays = new RelayBroker(all, clock, { sessionFanout: true });
  const deps = { sessions, relays, connections: supervisor, metrics, limits: all, clock, log };
  return { clock, supervisor, sessions, session, lines, deps };
}

export type DurableScene = ReturnType<typeof durableScene>;

export interface Followed {
  readonly abort: AbortController;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly events: string[];
  readonly end: Promise<FollowEnd>;
}

/** Starts `run` as exec-1 and follows it, unless the options say otherwise. */
export function follow({ deps }: DurableScene, options: Partial<FollowOptions> = {}): Followed {
  const abort = new AbortController();
  const streams = { stdout: "", stderr: "" };
  const events: string[] = [];
  const end = followDurably(
    {
      sandboxId: "sb-1",
      execId: "exec-1",
      spec,
      stdoutOffset: 0n,
      stderrOffset: 0n,
      noWait: false,
      holdsLog: true,
      onEvent(event) {
        events.push(event.case);
        if (event.case === "output") {
          const name = event.value.stream === OutputStream.STDOUT ? "stdout" : "stderr";
          streams[name] += Buffer.from(event.value.data).toString("latin1");
        }
        return Promise.resolve();
      },
      ...options,
    },
    deps,
    { signal: abort.signal },
  );
  end.catch(() => {});
  return { abort, events, stdout: () => streams.stdout, stderr: () => streams.stderr, end };
}

/** The sandbox's supervisor is gone, or a newer one has come: its session and its ways end. */
export function endSession({ session }: DurableScene): void {
  session.end(new BelayError("session_lost", "gone"));
}

/** exec-1, or the only one, ends by itself, having written a little more. */
export function finish({ supervisor }: DurableScene, more = "", reason = "exited"): void {
  const [exec] = supervisor.execs.values();
  exec!.log.stdout += more;
  exec!.end = { reason, exitCode: 0 };
  supervisor.wake();
}

/** Lets time pass, as much as it takes. */
export async function inTime<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  for (let step = 0; !(await isSettled(promise)); step += 1) {
    if (step === 1_000) throw new Error("not settled after 100 s");
    await clock.advance(100);
  }
  return promise;
}
