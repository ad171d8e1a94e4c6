// pipe-pair.ts: a relay without a network: what is written to one pipe is read from the other.
import { RelayPipe } from "@belay/relay-core";

export interface PipePair {
  readonly client: RelayPipe;
  readonly server: RelayPipe;
}

export function pipePair(): PipePair {
  const client = new RelayPipe();
  const server = new RelayPipe();
  void carry(client, server);
  void carry(server, client);
  return { client, server };
}

async function carry(from: RelayPipe, to: RelayPipe): Promise<void> {
  for (;;) {
    const frame = await from.nextFrame();
    if (frame === undefined) break;
    await to.receive(frame);
    // A network is never synchronous, and ssh2 cannot bear one that is.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (!from.destroyed || from.writableFinished) to.receiveEnd();
}
