// forward.ts: one `direct-tcpip` channel (RFC 4254, 7.2): a port of the sandbox's loopback, as `ssh -L`
// asks for it.
import type { Socket } from "node:net";
import { BelayError, loopbackAddresses } from "@belay/protocol";
import type { Connection, ServerChannel, TcpipRequestInfo } from "ssh2";
import { ClientGone } from "../execs/exec-client.ts";
import { dialTcp } from "../relays/dial-tcp.ts";
import { resetSocket } from "../relays/reset-socket.ts";
import { ChannelWriter } from "./channel-writer.ts";
import { hardenChannel } from "./harden-channel.ts";
import type { ConnectionContext } from "./ssh-connection.ts";
import { closeChannel, refuseChannel, sendEof, whenClosed } from "./ssh2-internals.ts";

export interface ForwardRequest {
  readonly connection: Connection;
  readonly accept: () => ServerChannel;
  readonly reject: () => void;
  readonly info: TcpipRequestInfo;
}

/** Resolves when the connection to the port is over, or has been refused. */
export async function serveForward(
  { connection, accept, reject, info }: ForwardRequest,
  context: ConnectionContext,
): Promise<void> {
  const { limits, clock, gone, log } = context;
  const target = { host: info.destIP, port: info.destPort };
  let socket: Socket;
  try {
    const options = { limitMs: limits.tcpDialMs, clock, signal: gone };
    socket = await dialTcp(target, options);
  } catch (error) {
    if (gone.aborted) return;
    const text = error instanceof BelayError ? error.message : "internal error";
    log.info("ssh.forward_refused", { port: target.port, reason: text });
    const mayBe = loopbackAddresses(target.host).length > 0;
    const reason = mayBe ? "connect_failed" : "administratively_prohibited";
    return refuseChannel(connection, reject, reason, text);
  }
  if (gone.aborted) return void socket.destroy();
  await carryForward(accept(), socket, context);
}

/**
 * Each direction ends by itself: an EOF of the client becomes a FIN to the target, and the target's
 * FIN an EOF to the client. The channel is closed when both have ended, or without an EOF when the
 * target broke; a client that is lost resets the target, to which a cut input must not look whole.
 */
async function carryForward(
  plain: ServerChannel,
  socket: Socket,
  { room, gone, limits, clock }: ConnectionContext,
): Promise<void> {
  const closed = whenClosed(plain);
  const left = AbortSignal.any([gone, closed]);
  const writer = new ChannelWriter(hardenChannel(plain, left), room, left);
  const over = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {}); // its `close` follows

  const onGone = () => {
    if (gone.reason instanceof ClientGone && gone.reason.how === "closed") socket.destroy();
    else resetSocket(socket);
  };
  const onClosed = () => {
    // What the client sent before its close is still owed to the target; its answer has no reader.
    const cut = clock.setTimer(limits.tcpFlushMs, () => resetSocket(socket));
    socket.once("close", () => cut.cancel());
    socket.resume();
  };
  if (gone.aborted) onGone();
  gone.addEventListener("abort", onGone, { once: true });
  closed.addEventListener("abort", onClosed, { once: true });
  try {
    plain.pipe(socket);
    await pumpToClient(socket, plain, writer);
    await over;
  } finally {
    gone.removeEventListener("abort", onGone);
    closed.removeEventListener("abort", onClosed);
    closeChannel(plain);
  }
}

async function pumpToClient(
  socket: Socket,
  channel: ServerChannel,
  writer: ChannelWriter,
): Promise<void> {
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      if (!(await writer.write("stdout", chunk as Buffer))) return void socket.resume();
    }
    sendEof(channel);
  } catch {
    // The target broke: a close without EOF says that its output is not whole.
  }
}
