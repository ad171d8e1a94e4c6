// forward-init.ts: the first frame of a ForwardTcp: whose sandbox, which target, by which token.
import { BelayError, isSandboxId, loopbackAddresses } from "@belay/protocol";
import type { TcpForwardFrame, TcpForwardInit } from "@belay/protocol";
import type { RelayTarget } from "../relays/relay.ts";

export interface ForwardInit {
  readonly sandboxId: string;
  readonly target: RelayTarget;
  /** Secret. */
  readonly token: string;
}

/**
 * Pure. The texts are those that clients match on.
 * @param first undefined: the caller ended its stream without a frame.
 * @throws BelayError `protocol_violation`, `invalid_request` or `sandbox_not_found`.
 */
export function readForwardInit(first: TcpForwardFrame | undefined): ForwardInit {
  if (!first) throw new BelayError("protocol_violation", "empty ForwardTcp stream");
  if (first.payload.case !== "init") {
    throw new BelayError("protocol_violation", "first TcpForwardFrame must be init");
  }
  const { sandboxId, target, authorizationToken } = first.payload.value;
  if (sandboxId === "") invalid("sandbox_id is required");
  const wanted = readTarget(target);
  // A malformed id names no sandbox, as an unknown one does.
  if (!isSandboxId(sandboxId)) throw new BelayError("sandbox_not_found", "sandbox not found");
  return { sandboxId, target: wanted, token: authorizationToken.trim() };
}

function readTarget(target: TcpForwardInit["target"]): RelayTarget {
  switch (target.case) {
    case "ssh":
      return { case: "ssh", value: {} };
    case "tcp": {
      const { port } = target.value;
      const host = target.value.host.trim();
      if (port < 1 || port > 65_535) invalid("tcp target port must be between 1 and 65535");
      if (host === "") invalid("tcp target host is required");
      if (loopbackAddresses(host).length === 0) invalid("tcp target host must be loopback");
      return { case: "tcp", value: { host, port } };
    }
    case undefined:
      return invalid("tcp forward target is required");
    default:
      return target satisfies never;
  }
}

function invalid(message: string): never {
  throw new BelayError("invalid_request", message);
}
