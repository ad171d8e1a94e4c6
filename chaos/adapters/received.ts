// received.ts: what a caller has received of one exec, held against what it has to be as it comes.
import { sleepMs } from "@belay/e2e";
import { StreamCheck } from "../oracles/stream-check.ts";
import { patternStreamOf } from "../work/command.ts";
import type { PlannedExec } from "../work/plan.ts";
import type { CallerView } from "./adapter.ts";

type Stream = keyof CallerView["streams"];

export class Received {
  /** On the lab's clock; 0 before the first message. */
  lastMessageMs = 0;
  readonly violations: string[] = [];
  readonly #caller: PlannedExec["caller"];
  readonly #checks: Record<Stream, StreamCheck>;
  #messages = 0;

  constructor({ work, caller }: PlannedExec) {
    this.#caller = caller;
    this.#checks = {
      stdout: new StreamCheck(work.seed, patternStreamOf(work, "stdout")),
      stderr: new StreamCheck(work.seed, patternStreamOf(work, "stderr")),
    };
  }

  /** To be called with each message, output or not. */
  message(): void {
    this.lastMessageMs = performance.now();
  }

  output(stream: Stream, data: Uint8Array): void {
    this.#checks[stream].push(data);
  }

  bytes(stream: Stream): number {
    return this.#checks[stream].receivedBytes;
  }

  /** Before the next message is asked for: a slow reader takes its time. */
  async pace(): Promise<void> {
    const { pauseMs, readDelayMs } = this.#caller;
    if (this.#messages++ === 0 && pauseMs !== undefined) await sleepMs(pauseMs);
    if (readDelayMs !== undefined) await sleepMs(readDelayMs);
  }

  /** To be asked for once, at the end. */
  streams(): CallerView["streams"] {
    const stream = (name: Stream) => ({
      receivedBytes: this.bytes(name),
      differences: this.#checks[name].finish(),
    });
    return { stdout: stream("stdout"), stderr: stream("stderr") };
  }
}
