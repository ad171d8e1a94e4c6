// reset-socket.ts: ends a TCP connection so that its peer does not take what it got for all.
import type { Socket } from "node:net";

/**
 * Sends RST and closes. Not while a FIN is on its way: then Node's own `resetAndDestroy` fails with
 * EINVAL, and the socket never closes (measured). That takes a turn of the event loop.
 */
export function resetSocket(socket: Socket): void {
  const { writableEnded, writableLength, writableFinished } = socket;
  const isSendingFin = writableEnded && writableLength === 0 && !writableFinished;
  if (isSendingFin) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}
