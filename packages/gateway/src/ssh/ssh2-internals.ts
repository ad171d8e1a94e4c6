// ssh2-internals.ts: what ssh2 1.17 can do and does not offer. Nothing else in the gateway reaches
// behind its public API.
import type { Client, ClientChannel } from "ssh2";

interface ClientInternals {
  readonly _protocol: {
    ping(): void;
    signal(channel: number, name: string): void;
  };
  readonly _callbacks: ((failed?: unknown) => void)[];
}

interface ChannelInternals {
  readonly outgoing: { readonly id: number; readonly state: string };
  readonly incoming: { readonly state: string; readonly window: number };
}

/**
 * Sends `keepalive@openssh.com`, which every server answers. ssh2's own keepalive would count only
 * such answers as life, so that it kills a slow link that is busy with data (mscdex/ssh2#474), and
 * it cannot run on our clock.
 */
export function sendKeepalive(client: Client): void {
  const internals = client as unknown as ClientInternals;
  internals._callbacks.push(() => {}); // answers are matched to requests by order
  internals._protocol.ping();
}

/**
 * Sends a `signal` request (RFC 4254, 6.9). `channel.signal()` silently does nothing once our side
 * has sent EOF, which is when stdin ended, long before the process did.
 * @param name without SIG, one of those that RFC 4254 lists.
 */
export function sendSignal(client: Client, channel: ClientChannel, name: string): void {
  const { outgoing } = channel as unknown as ChannelInternals;
  if (outgoing.state !== "open" && outgoing.state !== "eof") return;
  (client as unknown as ClientInternals)._protocol.signal(outgoing.id, name);
}

/**
 * Whether the server has sent an EOF: that its output is all there. ssh2 ends the stream in the same
 * way for a close without one, which is how our supervisor says that output is missing.
 * @returns to be asked after the end of the channel's stdout. Call this before anything is read.
 */
export function watchEof(channel: ClientChannel): () => boolean {
  const { incoming } = channel as unknown as ChannelInternals;
  const push = channel.push.bind(channel);
  let seen = false;
  channel.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && incoming.state === "eof") seen = true;
    return push(chunk, encoding);
  };
  return () => seen;
}

/**
 * Takes nothing beyond the window that we have granted: ssh2 counts it, but buffers whatever comes.
 * @param onViolation called for each packet that is dropped. Call this before anything is read.
 */
export function keepToWindow(channel: ClientChannel, onViolation: () => void): void {
  const { incoming } = channel as unknown as ChannelInternals;
  const push = channel.push.bind(channel);
  channel.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null || incoming.window >= 0) return push(chunk, encoding);
    onViolation();
    return false; // grants no more
  };
}
