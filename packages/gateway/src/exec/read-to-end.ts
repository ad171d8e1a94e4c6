// read-to-end.ts: the exec loop: takes output until the channel says, or has to be told, that the
// command is over. Every wait in it is bounded by something: the keepalives while the command runs,
// the post-exit wait after its status, the kill wait after KILL.
import { BelayError } from "@belay/protocol";
import { exitDrainWaitMs, initialExitDrain } from "@belay/relay-core";
import type { ChannelExit, Clock, ExitDrainLimits } from "@belay/relay-core";
import type { GatewayLimits } from "../limits.ts";
import type { ExecChannel, OutputChunk } from "../ssh/exec-channel.ts";
import type { Termination } from "./termination.ts";

export interface ReadToEndOptions {
  /** Takes each piece of output, in order. While it is not settled nothing more is read: a slow
   * client slows the process. Its time counts against no bound. */
  readonly onOutput: (chunk: OutputChunk) => Promise<void>;
  readonly termination: Termination;
  readonly limits: GatewayLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface CommandEnd {
  readonly exit: ChannelExit;
  /** False: something held the streams open, and they were cut. */
  readonly outputComplete: boolean;
}

/** @throws BelayError `relay_lost`, `termination_unconfirmed`; the signal's reason. */
export async function readToEnd(
  channel: ExecChannel,
  { onOutput, termination, limits, clock, signal }: ReadToEndOptions,
): Promise<CommandEnd> {
  let afterExit: Drain | undefined;
  let afterKill: Drain | undefined;

  for (;;) {
    startDrains();
    const chunk = channel.take();
    if (chunk) {
      await onOutput(chunk);
      for (const drain of [afterExit, afterKill]) drain?.read(chunk.data.byteLength);
      if (waitLimitMs() === 0) return cut();
      continue;
    }

    const end = channel.end();
    if (end.is === "ended") return { exit: end.exit, outputComplete: true };
    if (end.is === "lost") {
      throw new BelayError(
        "relay_lost",
        "exec relay closed before the command reported an exit status",
      );
    }

    const limitMs = waitLimitMs();
    const sinceMs = clock.now();
    const changed = limitMs > 0 && (await channel.changed({ signal, clock, limitMs }));
    for (const drain of [afterExit, afterKill]) drain?.waited(clock.now() - sinceMs);
    if (!changed) return cut();
  }

  function startDrains(): void {
    const { postExit, killWaitMs } = limits;
    if (channel.exit && postExit.quietMs > 0) {
      // What has arrived before the status is the command's own, however much of it waits here.
      const ownBytes = channel.unreadBytes + postExit.ownBytes;
      afterExit ??= new Drain({ ...postExit, ownBytes }, clock);
    }
    if (termination.state.is === "forced") {
      // Besides what is here: a channel window, and as much again in the server.
      const ownBytes = channel.unreadBytes + 2 * postExit.ownBytes;
      afterKill ??= new Drain({ quietMs: killWaitMs, totalMs: killWaitMs, ownBytes }, clock);
    }
  }

  /** Silence is not death: without a bound only an unanswered keepalive ends the wait. */
  function waitLimitMs(): number {
    return (channel.exit ? afterExit : afterKill)?.waitMs() ?? Infinity;
  }

  function cut(): CommandEnd {
    if (channel.exit) return { exit: channel.exit, outputComplete: false };
    throw new BelayError(
      "termination_unconfirmed",
      `the command was killed, its end was not confirmed within ${limits.killWaitMs} ms`,
    );
  }
}

/** Reading on, in bounds, after something that should be followed by the end of output. */
class Drain {
  readonly #limits: ExitDrainLimits;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  #state = initialExitDrain;

  constructor(limits: ExitDrainLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
  }

  read(bytes: number): void {
    const elapsedMs = this.#clock.now() - this.#startedAtMs;
    this.#state = { ...this.#state, elapsedMs, bytes: this.#state.bytes + bytes };
  }

  waited(waitedMs: number): void {
    this.#state = { ...this.#state, waitedMs: this.#state.waitedMs + waitedMs };
  }

  /** 0: enough. */
  waitMs(): number {
    return exitDrainWaitMs(this.#state, this.#limits);
  }
}
