import { describe, expect, it } from "vitest";
import { ExecInput } from "../../src/exec/exec-input.ts";
import type { InputPiece } from "../../src/exec/exec-input.ts";
import { isSettled } from "@belay/relay-core/testing";
import { never } from "../support/test-limits.ts";

const bytes = (text: string) => Buffer.from(text);
const shown = (piece: InputPiece | undefined) =>
  piece && [piece.offset, Buffer.from(piece.data).toString(), piece.end];

function input(first = "", maxBytes = 10): ExecInput {
  return new ExecInput({ first: bytes(first), maxBytes });
}

describe("the input of an exec", () => {
  it("is given in pieces from any offset that was not taken", async () => {
    const one = input("abc");
    await one.write(Buffer.alloc(5_000, "x"), { signal: never });
    expect(shown(one.piece(0, 2))).toEqual([0, "ab", false]);
    expect(shown(one.piece(2, 9))).toEqual([2, "c", false]);
    expect(shown(one.piece(5_001, 9))).toEqual([5_001, "xx", false]);
    expect(one.piece(5_003, 9)).toBeUndefined();
    one.taken(5_000);
    expect(shown(one.piece(0, 9))).toEqual([5_000, "xxx", false]);
  });

  it("ends with its last piece, or with an empty one", () => {
    const one = input("abc");
    one.end();
    expect(shown(one.piece(0, 2))).toEqual([0, "ab", false]);
    expect(shown(one.piece(2, 2))).toEqual([2, "c", true]);
    one.taken(3);
    expect(shown(one.piece(3, 2))).toEqual([3, "", true]);
    expect(shown(ExecInput.whole(bytes("")).piece(0, 2))).toEqual([0, "", true]);
  });

  it("may begin later, and need not end", () => {
    const one = ExecInput.whole(bytes("def"), { offset: 3, end: false });
    expect(shown(one.piece(0, 9))).toEqual([3, "def", false]);
    expect(shown(one.piece(4, 9))).toEqual([4, "ef", false]);
    expect(one.piece(6, 9)).toBeUndefined();
  });

  it("makes its writer wait while too much of it was not taken", async () => {
    const one = input("", 10);
    await one.write(bytes("0123456789"), { signal: never });
    const more = one.write(bytes("abc"), { signal: never });
    expect(await isSettled(more)).toBe(false);
    one.taken(1);
    await more;
    expect(shown(one.piece(10, 9))).toEqual([10, "abc", false]);
    expect(await isSettled(one.write(bytes("d"), { signal: never }))).toBe(false);
  });

  it("lets a writer go that is called away", async () => {
    const away = new AbortController();
    const waiting = input("0123456789").write(bytes("x"), { signal: away.signal });
    away.abort(new Error("away"));
    await expect(waiting).rejects.toThrow("away");
  });

  it("that nobody wants is dropped, and its writer waits no more", async () => {
    const one = input("0123456789");
    const waiting = one.write(bytes("x"), { signal: never });
    one.close();
    await waiting;
    for (let at = 0; at < 100; at += 1) await one.write(bytes("0123456789"), { signal: never });
    one.end();
    expect(one.piece(0, 9)).toBeUndefined();
  });

  it("joins keystrokes, and gives each byte in its place", async () => {
    const one = input("", 100_000);
    for (let at = 0; at < 20_000; at += 1) await one.write(bytes(`${at % 10}`), { signal: never });
    let pieces = 0;
    let all = "";
    for (let piece = one.piece(0, 1e9); piece; piece = one.piece(all.length, 1e9)) {
      pieces += 1;
      all += Buffer.from(piece.data).toString();
    }
    expect(all).toBe("0123456789".repeat(2_000));
    expect(pieces).toBeLessThan(10);
  });
});
