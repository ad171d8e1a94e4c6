// session-pipes.ts: the pipes of a session's command, there before its channel is confirmed: ssh2 drops
// what comes for a session that has no command yet, and clients send input without waiting for one.
import { closePipes } from "../process/pipe-pool.ts";
import type { PipePool, PooledPipe } from "../process/pipe-pool.ts";

/** For its input and outputs. */
export const PIPES_PER_EXEC = 3;

/** `undefined`: this system makes none (see pipe-pool.ts). */
export type Pipes = readonly PooledPipe[] | undefined;

/** Pipes that have one owner: whoever takes them, else they are closed here. */
export class OwnedPipes implements Disposable {
  #pipes: Pipes;

  constructor(pipes: Pipes) {
    this.#pipes = pipes;
  }

  /** Three of them, from a pool. @throws what the pool throws. */
  static async of(pool: PipePool, { signal }: { signal: AbortSignal }): Promise<OwnedPipes> {
    return new OwnedPipes(await pool.take(PIPES_PER_EXEC, { signal }));
  }

  take(): Pipes {
    const pipes = this.#pipes;
    this.#pipes = undefined;
    return pipes;
  }

  /** They were not needed. */
  giveBack(pool: PipePool): void {
    pool.giveBack(this.take() ?? []);
  }

  [Symbol.dispose](): void {
    closePipes(this.take() ?? []);
  }
}
