// pipe-bridge.ts: two relay pipes joined as a relay joins them: what one side writes, the other reads.
import { RelayPipe } from "../../src/index.ts";
import type { RelayPipeLimits } from "../../src/index.ts";

export interface PipeBridge {
  readonly near: RelayPipe;
  readonly far: RelayPipe;
  /** Resolves when neither way carries anything any more. */
  readonly ended: Promise<void>;
}

/** @param pause awaited between two frames: the pace of the path. */
export function bridgedPipes(
  limits?: RelayPipeLimits,
  pause: () => Promise<void> = () => Promise.resolve(),
): PipeBridge {
  const [near, far] = [new RelayPipe(limits), new RelayPipe(limits)];
  const ended = Promise.all([carry(near, far, pause), carry(far, near, pause)]).then(() => {});
  return { near, far, ended };
}

async function carry(from: RelayPipe, to: RelayPipe, pause: () => Promise<void>): Promise<void> {
  for (let frame = await from.nextFrame(); frame; frame = await from.nextFrame()) {
    await pause();
    await to.receive(frame);
  }
  if (from.destroyed && !from.writableFinished) to.destroy(from.errored ?? undefined);
  else to.receiveEnd();
}
