// real-backstops.ts: gateway and supervisor with the named backstops on, and short, and all others off.
import { flags } from "./flags.ts";

export type RealBackstop = "keepalive" | "heartbeat" | "sshKeepalive";

/** Milliseconds from the fault on. A silence that is noticed may have begun before it, by one interval. */
export const bounds = {
  keepalive: { notBeforeMs: 450, withinMs: 1_000 },
  heartbeat: { notBeforeMs: 500, withinMs: 900 },
  sshKeepalive: { notBeforeMs: 500, withinMs: 900 },
} as const satisfies Record<RealBackstop, { notBeforeMs: number; withinMs: number }>;

export function gatewayBackstops(on: readonly RealBackstop[]): string[] {
  const is = (name: RealBackstop, value: number) => (on.includes(name) ? value : 0);
  return flags({
    "keepalive-interval-ms": is("keepalive", 500),
    "keepalive-timeout-ms": 500,
    "heartbeat-interval-ms": is("heartbeat", 300),
    "heartbeat-missed": 3,
    "ssh-keepalive-interval-ms": is("sshKeepalive", 300),
    "ssh-keepalive-missed": 3,
  });
}

/** What is unreachable for so long is ended: so that a test sees it go. */
const orphanWindowMs = 300;

export function supervisorBackstops(on: readonly RealBackstop[]): string[] {
  const is = (name: RealBackstop, value: number) => (on.includes(name) ? value : 0);
  return flags({
    "keepalive-interval-ms": is("keepalive", 500),
    "keepalive-timeout-ms": 500,
    "heartbeat-missed": is("heartbeat", 3),
    "ssh-keepalive-interval-ms": is("sshKeepalive", 300),
    "ssh-keepalive-missed": 3,
    "exec-form": "plain",
    "orphan-window-ms": orphanWindowMs,
    "reconnect-max-ms": 300,
  });
}
