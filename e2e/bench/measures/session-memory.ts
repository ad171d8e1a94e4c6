// session-memory.ts: what one idle session costs the gateway.
//
// Method: puppet supervisors, which live in the bench's own process, hold one session each, with its own
// connection and sandbox, and let heartbeats go by. The growth of the gateway's settled resident memory
// over many of them, by their number. Some are there before the first reading, so that what the first
// session alone makes the gateway load is not counted.
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { startPuppet } from "../../src/puppet-supervisor.ts";
import type { Measure } from "../measure.ts";
import { settledRssBytes, settleEnv } from "../settled-memory.ts";

/** Each session needs a token, and that is a start of the gateway's program. */
const tokensAtOnce = 4;

export const sessionMemory: Measure = {
  name: "session-memory",
  async run({ quick, signal }) {
    const first = 20;
    const more = quick ? 40 : 200;
    await using deployment = await startDeployment({
      supervisors: 0,
      proxied: false,
      gatewayEnv: settleEnv,
    });
    await using sessions = new AsyncDisposableStack();

    await addSessions(deployment, { from: 0, to: first, sessions, signal });
    const before = await settledRssBytes(deployment.gateway);
    await addSessions(deployment, { from: first, to: first + more, sessions, signal });
    const after = await settledRssBytes(deployment.gateway);

    return [
      {
        id: "session.memory.gateway",
        label: `gateway memory per idle session, of ${more}`,
        value: (after - before) / more / 1024,
        unit: "KiB",
      },
    ];
  },
};

interface NewSessions {
  from: number;
  to: number;
  /** Ends them. */
  sessions: AsyncDisposableStack;
  signal: AbortSignal;
}

async function addSessions(deployment: Deployment, scene: NewSessions): Promise<void> {
  let next = scene.from;
  const addSome = async (): Promise<void> => {
    while (next < scene.to) {
      scene.signal.throwIfAborted();
      const { token, sandboxId } = await deployment.token(`puppet-${next++}`);
      const puppet = await startPuppet({ url: deployment.gatewayUrl, token, sandboxId });
      scene.sessions.use(puppet);
      if (puppet.sessionId === undefined) throw new Error("a session was rejected");
    }
  };
  await Promise.all(Array.from({ length: tokensAtOnce }, addSome));
}
