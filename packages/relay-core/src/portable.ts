// portable.ts: what runs in any JavaScript, a browser included. The rest needs streams of Node.
export { sleep } from "./clock.ts";
export type { Clock, Timer } from "./clock.ts";
export { linkedAbort, untilAbort } from "./until-abort.ts";
export { waitAtMost } from "./bounded-wait.ts";
export { TaskScope } from "./task-scope.ts";
export { backoffMs, failuresAfter } from "./backoff.ts";
export type { BackoffLimits } from "./backoff.ts";
export { watchLiveness } from "./liveness-watch.ts";
