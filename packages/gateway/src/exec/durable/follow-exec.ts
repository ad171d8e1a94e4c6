// follow-exec.ts: the FollowExec RPC: what an exec writes, from given offsets on, then its exit.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { FollowExecEventSchema, OutputStream } from "@belay/protocol";
import type { FollowExecEvent, FollowExecRequest } from "@belay/protocol";
import { Handoff } from "@belay/relay-core";
import type { Clock, TaskScope, Timer } from "@belay/relay-core";
import { callAbort } from "../call-abort.ts";
import { invalid, validateExecId } from "../validate-exec.ts";
import { inSandbox } from "./exec-calls.ts";
import { followDurably } from "./follow-durably.ts";
import type { FollowDeps } from "./follow-durably.ts";

const DEFAULT_KEEPALIVE_MS = 15_000;
const SHORTEST_KEEPALIVE_MS = 1_000;
const LONGEST_KEEPALIVE_MS = 300_000;

export interface FollowExecDeps extends FollowDeps {
  readonly scope: TaskScope;
  /** Aborts, with the reason, when the gateway stops. */
  readonly stopping: AbortSignal;
}

type Payload = NonNullable<MessageInitShape<typeof FollowExecEventSchema>["payload"]>;

/**
 * The follower lives in the gateway's scope: the generator may stay parked for ever. A client that goes
 * detaches, and cancels nothing.
 * @param options.admitted let go when the follower has ended.
 */
export async function* followExec(
  request: FollowExecRequest,
  deps: FollowExecDeps,
  options: { signal: AbortSignal; admit: () => Disposable },
): AsyncGenerator<FollowExecEvent> {
  validateExecId(request.execId);
  const intervalMs = keepaliveIntervalMs(request);
  const admitted = options.admit();
  const events = new Handoff<FollowExecEvent>();
  deps.scope.run(async () => {
    using _ = admitted;
    using abort = callAbort(options.signal, deps.stopping);
    try {
      await follow(request, events, intervalMs, deps, { signal: abort.signal });
      events.end();
    } catch (error) {
      events.fail(error);
    }
  });
  yield* events;
}

async function follow(
  request: FollowExecRequest,
  events: Handoff<FollowExecEvent>,
  intervalMs: number,
  deps: FollowExecDeps,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { sandboxId, execId, stdoutOffset, stderrOffset, noWait } = request;
  using keepalive = new Keepalive(deps.clock, intervalMs, () =>
    events.offer(create(FollowExecEventSchema, { payload: { case: "keepalive", value: {} } })),
  );
  const put = async (payload: Payload) => {
    await events.put(create(FollowExecEventSchema, { payload }), { signal });
    keepalive.restart();
  };
  const { exit } = await followDurably(
    {
      sandboxId,
      execId,
      stdoutOffset,
      stderrOffset,
      noWait,
      holdsLog: false,
      async onEvent(event) {
        if (event.case === "info") {
          return put({ case: "info", value: inSandbox(event.value, sandboxId) });
        }
        if (event.case === "output") {
          const { stream, data } = event.value;
          deps.metrics.output(
            stream === OutputStream.STDOUT ? "stdout" : "stderr",
            data.byteLength,
          );
        }
        await put(event);
      },
    },
    deps,
    { signal },
  );
  await put(exit ? { case: "exit", value: exit } : { case: "endOfLog", value: {} });
}

/** Says that there is nothing to say, whenever that has been so for the interval. */
class Keepalive implements Disposable {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #send: () => void;
  #timer: Timer | undefined;

  /** Begins with the first `restart()`. */
  constructor(clock: Clock, intervalMs: number, send: () => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#send = send;
  }

  restart(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(this.#intervalMs, () => {
      this.#send();
      this.restart();
    });
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }
}

function keepaliveIntervalMs({ keepaliveIntervalMs: intervalMs }: FollowExecRequest): number {
  if (intervalMs === 0) return DEFAULT_KEEPALIVE_MS;
  if (intervalMs < SHORTEST_KEEPALIVE_MS || intervalMs > LONGEST_KEEPALIVE_MS) {
    invalid(
      `keepalive_interval_ms is 0, or from ${SHORTEST_KEEPALIVE_MS} to ${LONGEST_KEEPALIVE_MS}`,
    );
  }
  return intervalMs;
}
