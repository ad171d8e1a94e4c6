// connect-scene.ts: the ConnectSupervisor RPC without the RPC: the test is the supervisor.
import { create } from "@bufbuild/protobuf";
import { SupervisorMessageSchema } from "@belay/protocol";
import type { GatewayMessage, SupervisorMessage } from "@belay/protocol";
import { TaskScope } from "@belay/relay-core";
import { ManualClock } from "@belay/relay-core/testing";
import type { GatewayLimits } from "../../src/limits.ts";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import type { SandboxStore } from "../../src/sandboxes/sandbox-store.ts";
import { connectSupervisor } from "../../src/supervisors/connect-supervisor.ts";
import { SessionRegistry } from "../../src/supervisors/session-registry.ts";
import { logLines } from "./log-lines.ts";
import { MessageQueue } from "./message-queue.ts";
import { testLimits } from "./test-limits.ts";

export function hello(sandboxId = "sb-1"): SupervisorMessage {
  const value = { sandboxId, instanceId: "in-1", features: ["ssh-env", "of-the-future"] };
  return create(SupervisorMessageSchema, { payload: { case: "hello", value } });
}

/** The caller's token is for sandbox sb-1 by the name of "box". */
export function connectScene(
  options: { limits?: Partial<GatewayLimits>; known?: { id: string; name: string } } = {},
) {
  const clock = new ManualClock();
  const limits = testLimits(options.limits);
  const sessions = new SessionRegistry(limits, clock);
  const relays = new RelayBroker(limits, clock, { sessionFanout: true });
  const { log, lines } = logLines();
  const ensured: [string, string][] = [];
  const store = {
    ensure(name: string, id: string) {
      ensured.push([name, id]);
      return Promise.resolve(options.known ?? { id, name });
    },
  } as unknown as SandboxStore;
  const scope = new TaskScope("test", { signal: new AbortController().signal });
  const messages = new MessageQueue<SupervisorMessage>();
  const received: GatewayMessage[] = [];
  const abort = new AbortController();
  let reading = true;

  /** Resolves with what ended the RPC: its error, or undefined. */
  async function start(): Promise<unknown> {
    const claims = { sandboxId: "sb-1", sandboxName: "box" };
    const deps = { store, sessions, relays, limits, clock, log, scope };
    try {
      for await (const message of connectSupervisor(messages, claims, deps, abort)) {
        received.push(message);
        if (!reading) await new Promise(() => {});
      }
      return undefined;
    } catch (error) {
      return error;
    }
  }

  const stopReading = () => {
    reading = false;
  };
  return {
    clock,
    sessions,
    relays,
    lines,
    ensured,
    scope,
    messages,
    received,
    abort,
    start,
    stopReading,
  };
}
