// forward-port.ts: a port here whose connections lead to a target in a sandbox, each by a forward of its
// own.
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { TaskScope, untilAbort } from "@belay/relay-core/portable";
import type { BelayClient } from "../client.ts";
import type { Forward, ForwardTarget } from "../forward.ts";
import { defaultLimits } from "../limits.ts";
import type { SandboxRef } from "../sandboxes.ts";

export interface ForwardPortOptions {
  /** Here. Default 127.0.0.1: whoever connects needs no token. */
  readonly host?: string;
  /** Here. Default 0: a free one. */
  readonly port?: number;
  /** Called with why a connection was not opened, or broke. */
  readonly onFailure?: (error: unknown) => void;
  /** At once; more are closed as they come. Default 512, as many as a gateway lets a sandbox have. */
  readonly maxConnections?: number;
}

/** Disposing closes the port and cuts its connections. */
export interface ForwardedPort extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/** Resolves when the port listens. @throws the error of listening: EADDRINUSE, EACCES … */
export async function forwardPort(
  client: Pick<BelayClient, "forward">,
  sandbox: SandboxRef,
  target: ForwardTarget,
  options: ForwardPortOptions = {},
): Promise<ForwardedPort> {
  const { host = "127.0.0.1", port = 0, onFailure = () => {} } = options;
  const { maxConnections = defaultLimits.forwardedConnections } = options;
  await using undo = new AsyncDisposableStack();
  const never = new AbortController().signal;
  // A connection that breaks is no concern of the others.
  const tasks = undo.use(new TaskScope("forwarded port", { signal: never, onFailure }));
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    tasks.run((signal) =>
      carry(socket, (input) => client.forward(sandbox, target, input, { signal }), signal),
    );
  });
  server.maxConnections = maxConnections;
  undo.defer(() => void server.close());
  await listen(server, { host, port });
  server.on("error", onFailure); // it could not accept one connection
  const here = server.address() as AddressInfo;
  const all = undo.move();
  return {
    host: here.address,
    port: here.port,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/**
 * A break of one side is a reset for the other, never an end. The target's end is the connection's: whoever
 * goes on to send is reset too.
 */
async function carry(
  socket: Socket,
  open: (input: AsyncIterable<Uint8Array>) => Promise<Forward>,
  signal: AbortSignal,
): Promise<void> {
  socket.on("error", () => {}); // its reader and its writer hear of it
  try {
    await using forward = await open(socket.iterator({ destroyOnReturn: false }));
    const next = () => forward.receive({ signal });
    for (let data = await next(); data; data = await next()) {
      await untilAbort(write(socket, data), signal);
    }
    socket.end();
    if (await forward.settled({ signal })) socket.destroy();
    else socket.resetAndDestroy();
  } catch (error) {
    const brokeItself = socket.errored !== null;
    socket.resetAndDestroy();
    if (!brokeItself) throw error;
  }
}

/** Resolves when there is room for more. */
function write(socket: Socket, data: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

async function listen(server: Server, at: { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(at, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
