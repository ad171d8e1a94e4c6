// until-abort.ts: leave a wait when the signal says so, even if what was awaited never settles.

/** Settles as `promise` does. @throws the signal's reason when it aborts first. */
export function untilAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    if (signal.aborted) {
      promise.catch(() => {}); // its failure has no reader any more
      return onAbort();
    }
    signal.addEventListener("abort", onAbort, { once: true });
    promise.finally(() => signal.removeEventListener("abort", onAbort)).then(resolve, reject);
  });
}

/** A controller that aborts with `parent`, and can be let go without leaving a listener there. */
export function linkedAbort(parent: AbortSignal): AbortController & Disposable {
  const controller = new AbortController();
  const onAbort = () => controller.abort(parent.reason);
  if (parent.aborted) onAbort();
  else parent.addEventListener("abort", onAbort, { once: true });
  return Object.assign(controller, {
    [Symbol.dispose]: () => parent.removeEventListener("abort", onAbort),
  });
}

/** Resolves when the signal aborts. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
