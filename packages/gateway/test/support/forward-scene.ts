// forward-scene.ts: the ForwardTcp RPC without the RPC: the test is the client, and the target at the
// other end of the relay.
import { create } from "@bufbuild/protobuf";
import { TcpForwardFrameSchema } from "@belay/protocol";
import type { TcpForwardFrame } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import type { RelayPipe } from "@belay/relay-core";
import { ManualClock, until } from "@belay/relay-core/testing";
import { ForwardAdmission } from "../../src/forward/forward-admission.ts";
import { forwardTcp } from "../../src/forward/forward-tcp.ts";
import { OpenTurns } from "../../src/forward/open-turns.ts";
import { SshSessions } from "../../src/forward/ssh-sessions.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import type { Relay, RelayTarget } from "../../src/relays/relay.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { FakeSupervisor } from "./fake-supervisor.ts";
import { logLines } from "./log-lines.ts";
import { MessageQueue } from "./message-queue.ts";
import { tempDir } from "./temp-dir.ts";
import { testLimits } from "./test-limits.ts";

export interface ForwardInitShape {
  readonly sandboxId?: string;
  readonly target?: RelayTarget;
  readonly authorizationToken?: string;
}

export interface RunningForward {
  readonly frames: MessageQueue<TcpForwardFrame>;
  /** The RPC's signal. */
  readonly caller: AbortController;
  readonly received: Buffer[];
  /** The response's end: undefined for OK, else its error. */
  readonly ended: Promise<unknown>;
  send(data: string | Buffer): void;
  text(): string;
}

export async function forwardScene(
  options: {
    limits?: Partial<GatewayLimits>;
    onRelayOpen?: (channelId: string) => void;
    features?: string[];
    session?: boolean;
  } = {},
) {
  const dir = await tempDir();
  const clock = new ManualClock();
  const limits = testLimits(options.limits);
  const sessions = new SessionRegistry(limits, clock);
  const relays = new RelayBroker(limits, clock, { sessionFanout: true });
  const opened: { relay: Relay; pipe: RelayPipe }[] = [];
  const supervisor = new FakeSupervisor(
    relays,
    {
      onRelay: (relay, pipe) => opened.push({ relay, pipe }),
      ...(options.onRelayOpen && { onRelayOpen: options.onRelayOpen }),
    },
    { features: options.features ?? ["relay-end"] },
  );
  if (options.session !== false) sessions.add(supervisor.session);
  const { log, lines } = logLines();
  const store = {
    findById: (id: string) => Promise.resolve(id.startsWith("sb-") ? { id, name: id } : undefined),
  } as unknown as SandboxStore;
  const sshSessions = await SshSessions.load(dir.path, limits, clock);
  const forwards = new ForwardAdmission(limits);
  const stopping = new AbortController();
  const scope = new TaskScope("test", { signal: new AbortController().signal });
  const deps = {
    store,
    sessions,
    relays,
    openTurns: new OpenTurns(limits, clock),
    sshSessions,
    forwards,
    limits,
    clock,
    log,
    scope,
    stopping: stopping.signal,
  };

  /** Calls ForwardTcp; its first frame is for the test to send. */
  function call(): RunningForward {
    const frames = new MessageQueue<TcpForwardFrame>();
    const caller = new AbortController();
    const received: Buffer[] = [];
    const ended = (async () => {
      try {
        for await (const { payload } of forwardTcp(frames, deps, caller)) {
          if (payload.case !== "data") throw new Error(`unexpected ${payload.case}`);
          received.push(Buffer.from(payload.value));
        }
        return undefined;
      } catch (error) {
        return error;
      } finally {
        caller.abort(); // as connect does when an RPC has answered
      }
    })();
    return {
      frames,
      caller,
      received,
      ended,
      send: (data) => frames.send(dataFrame(data)),
      text: () => Buffer.concat(received).toString(),
    };
  }

  return {
    clock,
    limits,
    sessions,
    relays,
    supervisor,
    opened,
    lines,
    sshSessions,
    forwards,
    stopping,
    call,
    /** Calls ForwardTcp with this first frame; by default, to a TCP port, by a token of its own. */
    async forward(init: ForwardInitShape = {}): Promise<RunningForward> {
      const running = call();
      const { token } = await sshSessions.create("sb-1");
      running.frames.send(initFrame({ ...tcpInit(token), ...init }));
      return running;
    },
    /** The supervisor's end of the n-th relay, counted from 0. */
    async target(at = 0): Promise<RelayPipe> {
      await until(() => opened.length > at, `relay ${at} is open`);
      return opened[at]!.pipe;
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

export function tcpInit(authorizationToken: string): ForwardInitShape {
  return {
    sandboxId: "sb-1",
    target: { case: "tcp", value: { host: "127.0.0.1", port: 80 } },
    authorizationToken,
  };
}

export function initFrame(init: ForwardInitShape): TcpForwardFrame {
  return create(TcpForwardFrameSchema, { payload: { case: "init", value: init } });
}

function dataFrame(data: string | Buffer): TcpForwardFrame {
  return create(TcpForwardFrameSchema, { payload: { case: "data", value: Buffer.from(data) } });
}
