// clock.ts: the machine's timers, as Node and browsers both have them.
import type { Clock } from "@belay/relay-core/portable";

/**
 * In Node its timers keep the process alive, unlike those of a server: while a client waits to reach
 * its exec again, there may be nothing else that does.
 */
export const clientClock: Clock = {
  now: () => performance.now(),
  setTimer(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  // Two turns: in Node, the first may run before the event loop looks at its sockets.
  pollIo: () => new Promise((resolve) => setTimeout(() => setTimeout(resolve, 0), 0)),
};
