// pattern.mjs: bytes as a function of (seed, stream, offset), for the process that writes them and for
// the lab that checks them, so that no byte need be stored.
//
// A stream is a row of 16-byte records: the record's index in hex, seven letters that follow from seed,
// stream and index, a line end. Whoever finds a record where it does not belong can tell how far it is off.

export const recordBytes = 16;

/** @typedef {"stdout" | "stderr" | "stdin"} PatternStream */

const streamKeys = { stdout: 0x5bd1e995, stderr: 0x1b873593, stdin: 0x27d4eb2f };
const hexDigits = Buffer.from("0123456789abcdef");
const letters = Buffer.from("abcdefghijklmnopqrstuvwxyzABCDEF");

/**
 * Fills `target` with the stream's bytes from `offset` on.
 * @param {Buffer} target
 * @param {number} seed
 * @param {PatternStream} stream
 * @param {number} offset
 */
export function fillPattern(target, seed, stream, offset) {
  const key = (seed ^ streamKeys[stream]) >>> 0;
  const skip = offset % recordBytes;
  let index = Math.floor(offset / recordBytes);
  let at = 0;
  if (skip > 0) {
    const first = Buffer.alloc(recordBytes);
    writeRecord(first, 0, key, index++);
    at = first.copy(target, 0, skip);
  }
  for (; at + recordBytes <= target.length; at += recordBytes)
    writeRecord(target, at, key, index++);
  if (at < target.length) {
    const last = Buffer.alloc(recordBytes);
    writeRecord(last, 0, key, index);
    last.copy(target, at);
  }
}

/**
 * @param {number} bytes
 * @param {number} seed
 * @param {PatternStream} stream
 */
export function patternOf(bytes, seed, stream, offset = 0) {
  const target = Buffer.allocUnsafe(bytes);
  fillPattern(target, seed, stream, offset);
  return target;
}

/**
 * The index of the record that begins at `at`, or undefined when there is none of this stream.
 * @param {Buffer} bytes
 * @param {number} at
 * @param {number} seed
 * @param {PatternStream} stream
 */
export function recordIndexAt(bytes, at, seed, stream) {
  if (at + recordBytes > bytes.length) return undefined;
  const text = bytes.toString("latin1", at, at + 8);
  if (!/^[0-9a-f]{8}$/.test(text)) return undefined;
  const index = Number.parseInt(text, 16);
  const expected = patternOf(recordBytes, seed, stream, index * recordBytes);
  return bytes.compare(expected, 0, recordBytes, at, at + recordBytes) === 0 ? index : undefined;
}

/**
 * @param {Buffer} target
 * @param {number} at
 * @param {number} key
 * @param {number} index
 */
function writeRecord(target, at, key, index) {
  for (let digit = 0; digit < 8; digit++)
    target[at + digit] = hexDigits[(index >>> (28 - 4 * digit)) & 15] ?? 0;
  let mixed = Math.imul(key ^ index, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  mixed ^= mixed >>> 16;
  for (let letter = 0; letter < 7; letter++)
    target[at + 8 + letter] = letters[(mixed >>> (5 * letter)) & 31] ?? 0;
  target[at + 15] = 10;
}
