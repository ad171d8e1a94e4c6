// read-scene.ts: readToEnd() on a channel that the test plays, under a clock that the test moves.
import { ManualClock } from "@belay/relay-core/testing";
import { readToEnd } from "../../src/exec/read-to-end.ts";
import type { CommandEnd } from "../../src/exec/read-to-end.ts";
import { Termination } from "../../src/exec/termination.ts";
import type { GatewayLimits } from "../../src/limits.ts";
import { ExecChannel } from "../../src/ssh/exec-channel.ts";
import type { OutputChunk } from "../../src/ssh/exec-channel.ts";
import { FakeChannel } from "./fake-channel.ts";
import { testLimits } from "./test-limits.ts";

export interface ReadScene {
  readonly clock: ManualClock;
  readonly channel: FakeChannel;
  readonly termination: Termination;
  /** Signals sent to the command, in order. */
  readonly signals: string[];
  readonly chunks: OutputChunk[];
  readonly abort: AbortController;
  readonly result: Promise<CommandEnd>;
  /** Everything that came on this stream so far, as text. */
  readonly text: (stream: OutputChunk["stream"]) => string;
}

export function readScene(
  options: {
    limits?: Partial<GatewayLimits>;
    /** Takes each chunk after it was noted; a slow one is a slow client. */
    onOutput?: (chunk: OutputChunk, clock: ManualClock) => Promise<void>;
  } = {},
): ReadScene {
  const clock = new ManualClock();
  const limits = testLimits(options.limits);
  const channel = new FakeChannel();
  const execChannel = new ExecChannel(channel.asClientChannel, {
    maxChunkBytes: limits.outputChunkBytes,
  });
  const signals: string[] = [];
  const chunks: OutputChunk[] = [];
  const termination = new Termination((name) => signals.push(name), {
    graceMs: limits.terminationGraceMs,
    clock,
    onForced: execChannel.recheck,
  });
  const abort = new AbortController();
  const result = readToEnd(execChannel, {
    async onOutput(chunk) {
      chunks.push(chunk);
      await options.onOutput?.(chunk, clock);
    },
    termination,
    limits,
    clock,
    signal: abort.signal,
  });
  result.catch(() => {}); // each test looks at it when its time has come
  return {
    clock,
    channel,
    termination,
    signals,
    chunks,
    abort,
    result,
    text: (stream) =>
      Buffer.concat(
        chunks.filter((each) => each.stream === stream).map((each) => each.data),
      ).toString("latin1"),
  };
}
