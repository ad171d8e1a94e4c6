// checked-follower.ts: a follower of @belay/client that checks each byte by its offset, and that none is missing or comes twice.
import type {
  DroppedEvent,
  ExecHandle,
  ExitEvent,
  FollowEvent,
  OutputStreamName,
} from "@belay/client";
import { expect } from "vitest";
import { within } from "../../src/wait.ts";
import { linesAt } from "./numbered-lines.ts";

export interface Followed extends Pick<ExitEvent, "exit" | "verified"> {
  /** Of each stream, dropped ones included. */
  readonly bytes: Record<OutputStreamName, number>;
  readonly dropped: readonly DroppedEvent[];
}

export interface CheckedOptions {
  readonly signal?: AbortSignal;
  /** Awaited before the next event is read. A slow reader. */
  readonly onOutput?: (bytes: Record<OutputStreamName, number>) => Promise<void> | void;
}

/** Follows to the end an exec that prints numbered lines on one stream or on both. */
export class CheckedFollower {
  /** Resolves with the first output. */
  readonly first: Promise<void>;
  readonly result: Promise<Followed>;
  readonly bytes: Record<OutputStreamName, number> = { stdout: 0, stderr: 0 };
  readonly #first = Promise.withResolvers<void>();
  readonly #dropped: DroppedEvent[] = [];

  constructor(exec: ExecHandle, { signal, onOutput }: CheckedOptions = {}) {
    this.first = this.#first.promise;
    this.first.catch(() => {}); // `result` tells
    this.result = this.#follow(exec.follow(signal && { signal }), onOutput);
    this.result.catch(this.#first.reject);
  }

  async #follow(
    events: AsyncIterable<FollowEvent>,
    onOutput: CheckedOptions["onOutput"],
  ): Promise<Followed> {
    for await (const event of events) {
      switch (event.is) {
        case "output": {
          const { stream, offset, data } = event;
          expect(offset, `the next byte of ${stream}`).toBe(this.bytes[stream]);
          const isRight = linesAt(offset, data.byteLength).equals(data);
          expect(isRight, `${data.byteLength} bytes at ${offset} of ${stream}`).toBe(true);
          this.bytes[stream] += data.byteLength;
          this.#first.resolve();
          await onOutput?.(this.bytes);
          break;
        }
        case "dropped":
          expect(event.fromOffset, `the next byte of ${event.stream}`).toBe(
            this.bytes[event.stream],
          );
          this.bytes[event.stream] = event.toOffset;
          this.#dropped.push(event);
          break;
        case "exit": {
          const { exit, verified } = event;
          const { bytes } = this;
          expect(bytes).toEqual({ stdout: exit.stdout.bytes, stderr: exit.stderr.bytes });
          return { exit, verified, bytes, dropped: this.#dropped };
        }
        case "end_of_log":
          break;
      }
    }
    throw new Error("the stream ended before the exit");
  }
}

/** The exec wrote so much and ended by itself, and all of it came. */
export function expectWhole(
  { exit, verified, dropped }: Followed,
  exitCode: number,
  bytes: { stdout: number; stderr?: number },
): void {
  const { reason, outputIncomplete, stdout, stderr } = exit;
  expect({
    reason,
    exitCode: exit.exitCode,
    outputIncomplete,
    verified,
    dropped,
    stdout: stdout.bytes,
    stderr: stderr.bytes,
  }).toEqual({
    reason: "exited",
    exitCode,
    outputIncomplete: false,
    verified: true,
    dropped: [],
    stdout: bytes.stdout,
    stderr: bytes.stderr ?? 0,
  });
}

/** For a follower of which only the end is of interest. */
export async function followChecked(
  exec: ExecHandle,
  options?: CheckedOptions,
  limitMs = 25_000,
): Promise<Followed> {
  return await within("the exec's end", limitMs, new CheckedFollower(exec, options).result);
}
