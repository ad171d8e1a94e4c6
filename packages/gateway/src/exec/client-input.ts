// client-input.ts: what the client of an interactive exec sends: a start, then input and sizes.
import { BelayError } from "@belay/protocol";
import type { ExecSandboxInput, ExecSandboxRequest } from "@belay/protocol";
import type { Clock } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import { callerMessages } from "../rpc/caller-messages.ts";
import type { ExecInput } from "./exec-input.ts";
import { validateTerminalSize } from "./validate-exec.ts";

/**
 * Pure. The texts are those that clients match on.
 * @param first undefined: the client ended its stream without a message.
 * @throws BelayError `protocol_violation`.
 */
export function readStart(first: ExecSandboxInput | undefined): ExecSandboxRequest {
  if (!first) throw new BelayError("protocol_violation", "empty stream: expected start message");
  if (first.payload.case !== "start") {
    throw new BelayError("protocol_violation", "first message must be a start payload");
  }
  return first.payload.value;
}

/**
 * Resolves after the end of the input. While the input has no room nothing more is read, and HTTP/2
 * makes the client wait.
 * @throws BelayError `protocol_violation`, `invalid_request`; see callerMessages.
 */
export async function readInput(
  received: AsyncIterator<ExecSandboxInput>,
  input: ExecInput,
  deps: { readonly limits: GatewayLimits; readonly clock: Clock },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  for await (const { payload } of callerMessages(received, deps, { signal })) {
    switch (payload.case) {
      case "stdin":
        await input.write(payload.value, { signal });
        break;
      case "resize":
        validateTerminalSize(payload.value, deps.limits);
        input.resize(payload.value);
        break;
      case "start":
      case undefined:
        throw new BelayError("protocol_violation", "expected stdin or resize");
      default:
        payload satisfies never;
    }
  }
  input.end();
}
