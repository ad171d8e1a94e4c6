// connection-keepalive.ts: HTTP/2 PING on each connection, a supervisor's or a client's.
import * as http2 from "node:http2";
import type { Socket } from "node:net";
import { watchLiveness } from "@belay/relay-core";
import type { Clock, LivenessLimits } from "@belay/relay-core";

const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

/** `session.destroy()` on a dead peer with a full socket waits for ever to flush it. */
const DESTROY_SOCKET_AFTER_MS = 250;

/**
 * Ends the connection, and with it each call on it, when the path no longer answers. Bytes on the raw
 * socket count, not frames: a PING's answer may queue behind data, and after GOAWAY no PING is sent.
 */
export function keepConnectionAlive(
  session: http2.ServerHttp2Session,
  socket: Socket,
  limits: LivenessLimits,
  { clock, onDead }: { clock: Clock; onDead: () => void },
): void {
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  const watch = watchLiveness(
    {
      seen: () => socket.bytesRead,
      probe: () => void (session.destroyed || session.ping(() => {})),
      onDead() {
        onDead();
        session.destroy(new Error("HTTP/2 keepalive unanswered"), http2.constants.NGHTTP2_CANCEL);
        clock.setTimer(DESTROY_SOCKET_AFTER_MS, () => socket.destroy());
      },
    },
    limits,
    clock,
  );
  session.once("close", watch.stop);
  socket.once("close", watch.stop);
}
