// dial-tcp.ts: a TCP connection to a port on the sandbox's loopback, for a relay that leads there.
import { connect } from "node:net";
import type { Socket } from "node:net";
import { BelayError, loopbackAddresses } from "@belay/protocol";
import type { TcpRelayTarget } from "@belay/protocol";
import { waitAtMost } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";

/**
 * @throws BelayError `relay_refused`, whose text tells apart: no host, not loopback, no port, refused,
 * no answer within `limitMs`, and what else the system says.
 */
export async function dialTcp(
  target: Pick<TcpRelayTarget, "host" | "port">,
  { limitMs, clock, signal }: { limitMs: number; clock: Clock; signal: AbortSignal },
): Promise<Socket> {
  const addresses = addressesOf(target);
  const wait = {
    what: "tcp target",
    limitMs,
    kind: "relay_refused",
    message: `tcp target did not answer within ${limitMs} ms`,
  } as const;
  return waitAtMost(wait, clock, (dialing) => firstThatAnswers(addresses, target.port, dialing), {
    signal,
  });
}

function addressesOf({ host, port }: Pick<TcpRelayTarget, "host" | "port">): readonly string[] {
  if (port < 1 || port > 65_535) refuse("tcp target port must be between 1 and 65535");
  if (host === "") refuse("tcp target host is required");
  const addresses = loopbackAddresses(host);
  if (addresses.length === 0) refuse("tcp target host must be loopback");
  return addresses;
}

/** `localhost` has two addresses, and many servers listen on one of them only. */
async function firstThatAnswers(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  let firstFailure: unknown;
  for (const address of addresses) {
    try {
      return await connected(address, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      firstFailure ??= error;
    }
  }
  const { code } = firstFailure as NodeJS.ErrnoException;
  const why =
    code === "ECONNREFUSED"
      ? `tcp target refused the connection: nothing listens on port ${port}`
      : `tcp target cannot be reached: ${code ?? "unknown error"}`;
  throw new BelayError("relay_refused", why, { cause: firstFailure });
}

function connected(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const onAbort = () => socket.destroy();
    const settle = (finish: () => void) => {
      signal.removeEventListener("abort", onAbort);
      finish();
    };
    // Stays: without a listener, an error before the relay takes the socket would end the process.
    socket.on("error", (error) => settle(() => reject(error)));
    socket.once("connect", () => settle(() => resolve(socket)));
    socket.once("close", () => settle(() => reject(signal.reason as Error)));
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

function refuse(message: string): never {
  throw new BelayError("relay_refused", message);
}
