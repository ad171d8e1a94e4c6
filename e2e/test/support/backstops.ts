// backstops.ts: gateways on which exactly one backstop is on, and short, and one on which none is.
import type { Deployment } from "../../src/deployment.ts";
import { flags } from "./flags.ts";
import { startGateway } from "./scene.ts";

/** Milliseconds; the sum or product of each is how soon the backstop must have noticed. */
export const bounds = {
  keepalive: { intervalMs: 500, timeoutMs: 500, withinMs: 1_000 },
  heartbeat: { intervalMs: 300, missed: 3, withinMs: 900 },
  sshKeepalive: { intervalMs: 300, missed: 3, withinMs: 900 },
  postExit: { quietMs: 500, withinMs: 500 },
} as const;

const on = {
  keepalive: {
    "keepalive-interval-ms": bounds.keepalive.intervalMs,
    "keepalive-timeout-ms": bounds.keepalive.timeoutMs,
  },
  heartbeat: {
    "heartbeat-interval-ms": bounds.heartbeat.intervalMs,
    "heartbeat-missed": bounds.heartbeat.missed,
  },
  sshKeepalive: {
    "ssh-keepalive-interval-ms": bounds.sshKeepalive.intervalMs,
    "ssh-keepalive-missed": bounds.sshKeepalive.missed,
  },
  postExit: { "post-exit-wait-ms": bounds.postExit.quietMs },
} as const;

const off = {
  "keepalive-interval-ms": 0,
  "heartbeat-interval-ms": 0,
  "ssh-keepalive-interval-ms": 0,
  "post-exit-wait-ms": 0,
};

export type Backstop = keyof typeof on | "fanout";

/** Every end that is seen on it was brought about by this backstop. A dead session ends what hangs on it, so fan-out stays on. */
export async function gatewayWithOnly(backstop: Backstop): Promise<Deployment> {
  const settings = { ...off, ...(backstop !== "fanout" && on[backstop]) };
  return await startGateway(flags(settings), { proxied: true });
}

export async function gatewayWithoutBackstops(): Promise<Deployment> {
  return await startGateway([...flags(off), "--test-without", "session-fanout"], { proxied: true });
}
