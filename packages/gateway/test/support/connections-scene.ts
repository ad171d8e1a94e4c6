// connections-scene.ts: the shared SSH connections of a gateway, and a supervisor in this process.
import { TaskScope } from "@belay/relay-core";
import { ManualClock, until } from "@belay/relay-core/testing";
import type { GatewayLimits } from "../../src/limits.ts";
import { RelayBroker } from "../../src/relays/relay-broker.ts";
import { ExecConnections } from "../../src/ssh/exec-connections.ts";
import type { ExecConversation } from "../../src/ssh/exec-conversation.ts";
import type { FakeConversation } from "./fake-exec-subsystem.ts";
import { FakeSupervisor } from "./fake-supervisor.ts";
import type { SupervisorScript } from "./fake-supervisor.ts";
import { logLines } from "./log-lines.ts";
import { never, testLimits } from "./test-limits.ts";

export interface ConnectionsScene {
  readonly clock: ManualClock;
  readonly relays: RelayBroker;
  readonly connections: ExecConnections;
  readonly supervisor: FakeSupervisor;
  readonly open: (signal?: AbortSignal) => Promise<ExecConversation>;
  readonly openMany: (count: number) => Promise<ExecConversation[]>;
  /** A conversation that has named its exec, and the supervisor's end of it. */
  readonly talk: (execId?: string) => Promise<{ here: ExecConversation; there: FakeConversation }>;
}

export function connectionsScene(
  script: SupervisorScript = {},
  limits: Partial<GatewayLimits> = {},
): ConnectionsScene {
  const clock = new ManualClock();
  const all = testLimits(limits);
  const relays = new RelayBroker(all, clock, { sessionFanout: true });
  const supervisor = new FakeSupervisor(relays, script, { features: ["durable-exec"] });
  const scope = new TaskScope("test", { signal: never });
  const { log } = logLines();
  const connections = new ExecConnections({ relays, limits: all, clock, log, scope });
  const open = (signal = never) => connections.open(supervisor.session, { signal });
  return {
    clock,
    relays,
    connections,
    supervisor,
    open,
    openMany: (count) => Promise.all(Array.from({ length: count }, () => open())),
    async talk(execId = "exec-1") {
      const here = await open();
      await here.send({ execId, payload: { case: "get", value: {} } }, { signal: never });
      const there = () => supervisor.conversations.find((one) => one.execId === execId);
      await until(() => there() !== undefined, "the supervisor hears of the exec");
      return { here, there: there()! };
    },
  };
}
