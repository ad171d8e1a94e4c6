// stream-check.ts: holds the bytes of one stream against what they have to be, as they come, and says
// of a difference what it is: bytes that are missing, that came twice, or that are wrong.
import { fillPattern, patternOf, recordBytes, recordIndexAt } from "../work/pattern.mjs";
import type { PatternStream } from "../work/pattern.mjs";

export type Difference = {
  is: "lost" | "doubled" | "wrong";
  /** Where in what was received. */
  atByte: number;
  /** How many; 0 when that cannot be told. */
  bytes: number;
};

/** After so many the rest adds nothing. */
const maxDifferences = 20;
/** Bytes after a difference in which to look for the place where the stream goes on. */
const maxUnplacedBytes = 256 * 1024;
const noBytes: Buffer = Buffer.alloc(0);

export class StreamCheck {
  receivedBytes = 0;
  readonly differences: Difference[] = [];
  readonly #seed: number;
  readonly #stream: PatternStream;
  /** The offset in the pattern that the next byte has to have. */
  #expectedOffset = 0;
  /** Since a difference, until it is known where the stream goes on. */
  #unplaced = noBytes;
  #scratch = noBytes;

  constructor(seed: number, stream: PatternStream) {
    this.#seed = seed;
    this.#stream = stream;
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.receivedBytes += bytes.length;
    if (this.#unplaced.length > 0) this.#place(Buffer.concat([this.#unplaced, bytes]));
    else this.#compare(bytes);
  }

  /** What was never placed is wrong. To be called at the stream's end. */
  finish(): readonly Difference[] {
    if (this.#unplaced.length > 0) {
      this.#note("wrong", this.#unplaced.length, this.#unplaced.length);
      this.#unplaced = noBytes;
    }
    return this.differences;
  }

  #compare(bytes: Buffer): void {
    if (this.#scratch.length < bytes.length) this.#scratch = Buffer.allocUnsafe(bytes.length);
    const expected = this.#scratch.subarray(0, bytes.length);
    fillPattern(expected, this.#seed, this.#stream, this.#expectedOffset);
    if (bytes.equals(expected)) {
      this.#expectedOffset += bytes.length;
      return;
    }
    let at = 0;
    while (bytes[at] === expected[at]) at++;
    this.#expectedOffset += at;
    this.#place(bytes.subarray(at));
  }

  /** `bytes` begins at the difference: the first record in it tells where the stream goes on. */
  #place(bytes: Buffer): void {
    for (let at = 0; at + recordBytes <= bytes.length; at++) {
      const index = recordIndexAt(bytes, at, this.#seed, this.#stream);
      if (index === undefined) continue;
      const begin = beginOfRun(bytes, at, index * recordBytes, this.#seed, this.#stream);
      const shift = begin.offset - (this.#expectedOffset + begin.at);
      const is = shift > 0 ? "lost" : shift < 0 ? "doubled" : "wrong";
      this.#note(is, shift === 0 ? begin.at : Math.abs(shift), bytes.length);
      this.#unplaced = noBytes;
      this.#expectedOffset = begin.offset;
      return this.#compare(bytes.subarray(begin.at));
    }
    this.#unplaced = Buffer.from(bytes);
    if (bytes.length < maxUnplacedBytes) return;
    this.#note("wrong", bytes.length, bytes.length);
    this.#expectedOffset += bytes.length;
    this.#unplaced = noBytes;
  }

  #note(is: Difference["is"], bytes: number, before: number): void {
    if (this.differences.length >= maxDifferences) return;
    this.differences.push({ is, atByte: this.receivedBytes - before, bytes });
  }
}

/** A record found may have the end of the one before it in front of it: that is right as well. */
function beginOfRun(
  bytes: Buffer,
  at: number,
  offset: number,
  seed: number,
  stream: PatternStream,
): { at: number; offset: number } {
  const before = Math.min(at, offset, recordBytes - 1);
  const expected = patternOf(before, seed, stream, offset - before);
  let right = 0;
  while (right < before && bytes[at - 1 - right] === expected[before - 1 - right]) right++;
  return { at: at - right, offset: offset - right };
}
