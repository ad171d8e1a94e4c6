// call-abort.ts: what ends a call before its time: its caller, or the gateway that stops.
import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError } from "@belay/protocol";

/** One signal for both, with a BelayError as its reason. */
export function callAbort(
  caller: AbortSignal,
  stopping: AbortSignal,
): AbortController & Disposable {
  const controller = new AbortController();
  const onCaller = () => controller.abort(callerGone(caller.reason));
  const onStopping = () => controller.abort(stopping.reason);
  if (caller.aborted) onCaller();
  if (stopping.aborted) onStopping();
  caller.addEventListener("abort", onCaller);
  stopping.addEventListener("abort", onStopping);
  return Object.assign(controller, {
    [Symbol.dispose]() {
      caller.removeEventListener("abort", onCaller);
      stopping.removeEventListener("abort", onStopping);
    },
  });
}

/** A cancel and a lost connection look alike here (library hazard), and mean the same to the exec. */
function callerGone(reason: unknown): BelayError {
  const deadline = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return deadline
    ? new BelayError("deadline_exceeded", "the caller's deadline passed", { cause: reason })
    : new BelayError("canceled", "the caller canceled or is gone", { cause: reason });
}

/** Whether the caller wants the exec ended. A gateway that stops wants nothing of the kind. */
export function isCallersWish(reason: unknown): boolean {
  return reason instanceof BelayError && reason.kind !== "gateway_stopping";
}
