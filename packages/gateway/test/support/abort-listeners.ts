import { getEventListeners } from "node:events";

/** How many still listen for this signal's abort: a listener that is left behind is a leak. */
export function abortListeners(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}
