// send-input.ts: brings an exec's input on its way, whichever form the exec has.
import { FRAME_OUTPUT_BYTES } from "@belay/relay-core";
import type { Clock } from "@belay/relay-core";
import type { ExecInput, InputPiece, WindowSize } from "./exec-input.ts";

/** A way to the command. */
export interface InputSink {
  /** Whether it takes a piece now. When that becomes true, it notifies the input's `changed`. */
  hasRoom(): boolean;
  write(piece: InputPiece): Promise<void>;
  resize(size: WindowSize): Promise<void>;
}

/**
 * Sends what comes until the signal aborts. A resize never waits for input that the command does not
 * read: what `write` waits for is the way, not the command.
 * @param fromOffset what comes before is there already. The size is sent in any case.
 * @throws what the sink throws; the signal's reason.
 */
export async function sendInput(
  input: ExecInput,
  sink: InputSink,
  { fromOffset, clock, signal }: { fromOffset: number; clock: Clock; signal: AbortSignal },
): Promise<void> {
  let offset = fromOffset;
  let sentSize: WindowSize | undefined;
  let sentEnd = false;
  for (;;) {
    if (input.size && input.size !== sentSize) {
      sentSize = input.size;
      await sink.resize(sentSize);
    } else if (!sentEnd && sink.hasRoom()) {
      const piece = input.piece(offset, FRAME_OUTPUT_BYTES);
      if (piece) {
        offset = piece.offset + piece.data.byteLength;
        sentEnd = piece.end;
        await sink.write(piece);
      } else await more();
    } else await more();
  }

  /** No peer owes us input, nor a command its attention: only the signal bounds this. */
  function more(): Promise<boolean> {
    return input.changed.wait({ limitMs: Infinity, clock, signal });
  }
}
