// resume-window.ts: how long, and how often, a lost way to a sandbox is looked for again.
import { backoffMs, failuresAfter } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../../limits.ts";

/** - `first`: no way was ever lost.
 *  - `up`: the supervisor has answered over the way that there is.
 *  - `lost`: since then no way was of use, however many were tried. */
export type WayState = { readonly is: "first" } | WayUp | LostWay;

export interface WayUp {
  readonly is: "up";
  readonly sinceMs: number;
  readonly failures: number;
  /** Begin of the window in which it was found, as long as it has been of no use yet. */
  readonly lostSinceMs: number | undefined;
}

export interface LostWay {
  readonly is: "lost";
  readonly sinceMs: number;
  /** In a row, of ways that did not last. */
  readonly failures: number;
}

/** The first try comes at once. A way that ends at once, again and again, must not make us spin. */
const BACKOFF = { minMs: 20, maxMs: 1_000 };

/** After so long, or with something new, a way has been of use. */
const LASTS_MS = BACKOFF.maxMs;

export function wayAnswered(state: WayState, nowMs: number): WayState {
  switch (state.is) {
    case "first":
      return { is: "up", sinceMs: nowMs, failures: 0, lostSinceMs: undefined };
    case "lost":
      return {
        is: "up",
        sinceMs: nowMs,
        failures: state.failures,
        lostSinceMs: state.sinceMs,
      };
    case "up":
      return state;
    default:
      return state satisfies never;
  }
}

export function wayProgressed(state: WayState): WayState {
  if (state.is !== "up" || state.lostSinceMs === undefined) return state;
  return { ...state, lostSinceMs: undefined };
}

export function wayLost(state: WayState, nowMs: number): LostWay {
  switch (state.is) {
    case "first":
      return { is: "lost", sinceMs: nowMs, failures: 0 };
    case "up": {
      const lastedMs = nowMs - state.sinceMs;
      const wasOfUse = lastedMs >= LASTS_MS || state.lostSinceMs === undefined;
      return {
        is: "lost",
        sinceMs: wasOfUse ? nowMs : state.lostSinceMs,
        failures: failuresAfter(state.failures, lastedMs, BACKOFF),
      };
    }
    case "lost":
      return { ...state, failures: state.failures + 1 };
    default:
      return state satisfies never;
  }
}

/** Milliseconds before the next try. @param random a number in [0, 1). */
export function pauseMs({ failures }: LostWay, random: number): number {
  return failures === 0 ? 0 : backoffMs(failures - 1, BACKOFF, random);
}

/** Milliseconds of the window that are left; 0 when it is over. */
export function windowLeftMs(
  { sinceMs }: LostWay,
  { limits, clock }: { limits: Pick<GatewayLimits, "resumeWindowMs">; clock: Pick<Clock, "now"> },
): number {
  return Math.max(0, sinceMs + limits.resumeWindowMs - clock.now());
}
