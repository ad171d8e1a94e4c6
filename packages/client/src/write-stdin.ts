// write-stdin.ts: input goes to an exec in order, by offset, each byte once.
import { BelayError, fromConnectError } from "@belay/protocol";
import type { ErrorIds, WriteStdinResponse } from "@belay/protocol";
import { backoffMs, sleep, untilAbort } from "@belay/relay-core/portable";
import type { ClientContext } from "./context.ts";

/** A text is sent as UTF-8. */
export type StdinInput =
  string | Uint8Array | AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>;

export interface StdinProgress {
  /** Taken up to here, of the whole input. */
  readonly offset: number;
  /** The process reads no more; what it did not read is dropped. */
  readonly closed: boolean;
}

/** One WriteStdin, tried again while only the way is lost. */
export type SendStdin = (
  piece: { readonly offset: bigint; readonly data: Uint8Array; readonly end: boolean },
  signal: AbortSignal,
) => Promise<WriteStdinResponse>;

export interface StdinWriteOptions {
  /** Of input's first byte in the whole of the exec's input. */
  readonly offset: number;
  /** Whether the exec's input ends after this. */
  readonly end: boolean;
  readonly ids: ErrorIds;
  readonly signal: AbortSignal;
}

/** Resolves when all was taken, or the process reads no more. @throws BelayError, the signal's reason. */
export async function writeStdin(
  input: StdinInput,
  send: SendStdin,
  { limits, clock, random }: ClientContext,
  { offset: from, end, ids, signal }: StdinWriteOptions,
): Promise<StdinProgress> {
  let offset = from;
  for await (const data of pieces(input, limits.stdinChunkBytes, signal)) {
    if (await offer(data, false)) return { offset, closed: true };
  }
  const closed = end && (await offer(new Uint8Array(), true));
  return { offset, closed };

  /** True when the process reads no more. */
  async function offer(data: Uint8Array, isEnd: boolean): Promise<boolean> {
    const startOffset = offset;
    const endOffset = offset + data.byteLength;
    for (let polls = 0; ;) {
      const rest = data.subarray(offset - startOffset);
      const taken = await sendOnce({ offset: BigInt(offset), data: rest, end: isEnd });
      if (taken === "closed") return true;
      if (taken < offset || taken > endOffset) {
        const expected = `from ${offset} to ${endOffset}`;
        throw new BelayError("offset_out_of_range", `input taken up to ${taken}, not ${expected}`, {
          ids,
        });
      }
      polls = taken > offset ? 0 : polls + 1;
      offset = taken;
      if (offset === endOffset) return false;
      // A process may leave its input unread for hours.
      if (polls > 0) await sleep(pollMs(polls), clock, signal);
    }
  }

  async function sendOnce(piece: Parameters<SendStdin>[0]): Promise<number | "closed"> {
    try {
      const answer = await send(piece, signal);
      return answer.closed ? "closed" : Number(answer.offset);
    } catch (reason) {
      signal.throwIfAborted();
      const error = fromConnectError(reason);
      if (error.kind === "exec_ended") return "closed";
      throw error;
    }
  }

  function pollMs(polls: number): number {
    const { minMs } = limits.stdinPoll;
    return minMs + backoffMs(polls, limits.stdinPoll, random());
  }
}

/** Of at most `maxBytes`. The input's own end of life is not waited for: it may be a terminal. */
async function* pieces(
  input: StdinInput,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  const source = typeof input === "string" || input instanceof Uint8Array ? [input] : input;
  const iterator = iterate(source);
  try {
    for (;;) {
      const next = await untilAbort(Promise.resolve(iterator.next()), signal);
      if (next.done) return;
      const bytes = typeof next.value === "string" ? encoder.encode(next.value) : next.value;
      for (let at = 0; at < bytes.byteLength; at += maxBytes) {
        yield bytes.subarray(at, at + maxBytes);
      }
    }
  } finally {
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function iterate<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in source
    ? source[Symbol.asyncIterator]()
    : source[Symbol.iterator]();
}
