// frame-codec.ts: the messages of the exec subsystem (belay/v1/exec_frames.proto) on a stream of bytes:
// each is preceded by its length, 4 bytes, big-endian.
import { create, fromBinary, protoInt64, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { BelayError, OutputStream } from "@belay/protocol";

const LENGTH_BYTES = 4;

/** Default of the largest frame that is taken, without its length: a start with all of its limits used
 * up (1,024 arguments of 32 KiB do not fit in the kernel either) stays below. In bytes. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;

/** Output in one frame, in bytes: half of what one read of a pipe gives, and with what goes around it
 * one SSH packet (ssh2 is patched to take 33 KiB). */
export const FRAME_OUTPUT_BYTES = 32 * 1024;

export function encodeFrame<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): Buffer {
  const message = toBinary(schema, create(schema, init));
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + message.byteLength);
  frame.writeUInt32BE(message.byteLength, 0);
  frame.set(message, LENGTH_BYTES);
  return frame;
}

// Field numbers of SupervisorFrame.output and ExecOutput.
const FRAME_OUTPUT = 2;
const OUTPUT_STREAM = 1;
const OUTPUT_OFFSET = 2;
const OUTPUT_DATA = 15;

/**
 * The same as `encodeFrame` of a SupervisorFrame with an output, with one copy of the data instead of
 * four: a gigabyte goes through here.
 */
export function encodeOutputFrame(
  stream: "stdout" | "stderr",
  offset: number,
  data: Uint8Array,
): Buffer {
  const around = new BinaryWriter()
    .tag(OUTPUT_STREAM, WireType.Varint)
    .int32(stream === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR)
    .tag(OUTPUT_OFFSET, WireType.Varint)
    .uint64(protoInt64.uParse(offset))
    .tag(OUTPUT_DATA, WireType.LengthDelimited)
    .uint32(data.byteLength)
    .finish();
  const head = new BinaryWriter()
    .tag(FRAME_OUTPUT, WireType.LengthDelimited)
    .uint32(around.byteLength + data.byteLength)
    .finish();
  const messageBytes = head.byteLength + around.byteLength + data.byteLength;
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + messageBytes);
  frame.writeUInt32BE(messageBytes, 0);
  frame.set(head, LENGTH_BYTES);
  frame.set(around, LENGTH_BYTES + head.byteLength);
  frame.set(data, LENGTH_BYTES + head.byteLength + around.byteLength);
  return frame;
}

/**
 * Takes bytes as they come, gives whole messages. `bytes` fields of a message are views on what came.
 * What it holds is bounded by one frame and what was pushed.
 */
export class FrameDecoder<Desc extends DescMessage> {
  readonly #schema: Desc;
  readonly #maxFrameBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Of the frame at the front; `undefined` until its length has come. */
  #frameBytes: number | undefined;

  constructor(schema: Desc, { maxFrameBytes = MAX_FRAME_BYTES }: { maxFrameBytes?: number } = {}) {
    this.#schema = schema;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Whether the bytes so far end between two frames. */
  get isBetweenFrames(): boolean {
    return this.#bytes === 0 && this.#frameBytes === undefined;
  }

  /** How many more bytes `next()` waits for, after it gave nothing: of the frame, or first of its
   * length. Who reads just these copies nothing, and leaves the rest where it is. */
  get missingBytes(): number {
    return (this.#frameBytes ?? LENGTH_BYTES) - this.#bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
  }

  /** The next message, if all of it is here. @throws BelayError `protocol_violation`. */
  next(): MessageShape<Desc> | undefined {
    if (this.#frameBytes === undefined) {
      if (this.#bytes < LENGTH_BYTES) return undefined;
      this.#frameBytes = this.#take(LENGTH_BYTES).readUInt32BE(0);
      if (this.#frameBytes > this.#maxFrameBytes) {
        throw new BelayError(
          "protocol_violation",
          `a frame of ${this.#frameBytes} bytes; at most ${this.#maxFrameBytes} are taken`,
        );
      }
    }
    if (this.#bytes < this.#frameBytes) return undefined;
    const message = this.#take(this.#frameBytes);
    this.#frameBytes = undefined;
    try {
      return fromBinary(this.#schema, message);
    } catch (cause) {
      throw new BelayError("protocol_violation", "a malformed frame", { cause });
    }
  }

  /** The first `count` bytes; copied only when they came in pieces. */
  #take(count: number): Buffer {
    this.#bytes -= count;
    const first = this.#chunks[0];
    if (first && first.byteLength > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const pieces: Buffer[] = [];
    let missing = count;
    let whole = 0;
    while (missing > 0) {
      const piece = this.#chunks[whole]!;
      if (piece.byteLength > missing) {
        pieces.push(piece.subarray(0, missing));
        this.#chunks[whole] = piece.subarray(missing);
        break;
      }
      pieces.push(piece);
      missing -= piece.byteLength;
      whole += 1;
    }
    this.#chunks.splice(0, whole);
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, count);
  }
}
