import { describe, expect, it } from "vitest";
import { StreamCheck } from "../oracles/stream-check.ts";
import { patternOf, recordIndexAt } from "../work/pattern.mjs";

const seed = 77;
const right = patternOf(10_000, seed, "stdout");

/** What the check says of these bytes, however they are cut into pieces. */
function check(bytes: Uint8Array, pieceBytes: number) {
  const stream = new StreamCheck(seed, "stdout");
  for (let at = 0; at < bytes.length; at += pieceBytes)
    stream.push(bytes.subarray(at, at + pieceBytes));
  return { differences: stream.finish(), receivedBytes: stream.receivedBytes };
}

describe("pattern", () => {
  it("gives the same bytes from any offset on", () => {
    for (const offset of [0, 1, 15, 16, 17, 4_000])
      expect(patternOf(100, seed, "stdout", offset)).toEqual(right.subarray(offset, offset + 100));
  });

  it("differs by seed and by stream", () => {
    expect(patternOf(64, seed + 1, "stdout")).not.toEqual(right.subarray(0, 64));
    expect(patternOf(64, seed, "stderr")).not.toEqual(right.subarray(0, 64));
  });

  it("knows a record of its own by its index", () => {
    expect(recordIndexAt(right, 160, seed, "stdout")).toBe(10);
    expect(recordIndexAt(right, 161, seed, "stdout")).toBeUndefined();
    expect(recordIndexAt(right, 160, seed, "stderr")).toBeUndefined();
  });
});

describe.each([1, 7, 16, 1_000, 10_000])("StreamCheck in pieces of %i bytes", (pieceBytes) => {
  it("finds nothing in what is right", () => {
    expect(check(right, pieceBytes)).toEqual({ differences: [], receivedBytes: right.length });
  });

  it.each([0, 1, 16, 999, 5_000])("finds one byte that is missing at %i", (at) => {
    const bytes = Buffer.concat([right.subarray(0, at), right.subarray(at + 1)]);
    expect(check(bytes, pieceBytes).differences).toEqual([
      expect.objectContaining({ is: "lost", bytes: 1 }),
    ]);
  });

  it.each([16, 100, 4_096])("finds a piece of %i bytes that is missing", (length) => {
    const bytes = Buffer.concat([right.subarray(0, 2_005), right.subarray(2_005 + length)]);
    expect(check(bytes, pieceBytes).differences).toEqual([
      expect.objectContaining({ is: "lost", bytes: length }),
    ]);
  });

  it.each([1, 16, 100, 3_000])("finds a piece of %i bytes that came twice", (length) => {
    const bytes = Buffer.concat([right.subarray(0, 4_005), right.subarray(4_005 - length)]);
    const [difference, ...more] = check(bytes, pieceBytes).differences;
    expect(more).toEqual([]);
    expect(difference).toMatchObject({ is: "doubled", bytes: length });
  });

  it("finds bytes that are wrong, and goes on behind them", () => {
    const bytes = Buffer.from(right);
    bytes.fill("?", 3_000, 3_010);
    bytes.fill("?", 6_000, 6_001);
    expect(check(bytes, pieceBytes).differences).toMatchObject([
      { is: "wrong", atByte: 3_000 },
      { is: "wrong", atByte: 6_000 },
    ]);
  });

  it("finds what another stream's bytes are: wrong", () => {
    const bytes = patternOf(200, seed, "stderr");
    expect(check(bytes, pieceBytes).differences).toMatchObject([{ is: "wrong" }]);
  });
});
