import { describe, expect, it } from "vitest";
import { StdinFeed } from "../../src/execs/durable/stdin-feed.ts";

const never = { signal: new AbortController().signal };
const bytes = (text: string) => Buffer.from(text);

function feed(options: { bufferBytes?: number; isClosed?: () => boolean } = {}) {
  const { bufferBytes = 1_024, isClosed = () => false } = options;
  return new StdinFeed({ bufferBytes, isClosed });
}

async function readAll(source: StdinFeed): Promise<string> {
  let text = "";
  for await (const chunk of source.readable) text += String(chunk);
  return text;
}

describe("StdinFeed", () => {
  it("takes what is sent again once", async () => {
    const stdin = feed();
    const read = readAll(stdin);
    await stdin.write({ offset: 0, data: bytes("hello "), end: false }, never);
    expect(await stdin.write({ offset: 0, data: bytes("hello "), end: false }, never)).toEqual({
      offset: 6,
      closed: false,
    });
    await stdin.write({ offset: 3, data: bytes("lo wor"), end: false }, never);
    await stdin.write({ offset: 9, data: bytes("ld"), end: true }, never);
    expect(await read).toBe("hello world");
    expect(stdin.offset).toBe(11);
  });

  it("refuses a gap, and says where the input goes on", async () => {
    const stdin = feed();
    await stdin.write({ offset: 0, data: bytes("ab"), end: false }, never);
    await expect(
      stdin.write({ offset: 3, data: bytes("d"), end: false }, never),
    ).rejects.toMatchObject({
      kind: "offset_out_of_range",
      message: "input has been taken up to 2; it goes on there",
    });
  });

  it("makes a writer wait until the process reads", async () => {
    const stdin = feed({ bufferBytes: 4 });
    await stdin.write({ offset: 0, data: bytes("12345678"), end: false }, never);
    let taken = false;
    const second = stdin
      .write({ offset: 8, data: bytes("9"), end: true }, never)
      .then(() => (taken = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(taken).toBe(false);
    expect(await readAll(stdin)).toBe("123456789");
    await second;
  });

  it("takes once what two writers wait with", async () => {
    const stdin = feed({ bufferBytes: 2 });
    await stdin.write({ offset: 0, data: bytes("aaaa"), end: false }, never);
    const piece = { offset: 4, data: bytes("bbbb"), end: true };
    const both = [stdin.write(piece, never), stdin.write(piece, never)];
    expect(await readAll(stdin)).toBe("aaaabbbb");
    await Promise.all(both);
  });

  it("drops what comes for a process that reads no more, and lets its writers go", async () => {
    let closed = false;
    const stdin = feed({ bufferBytes: 2, isClosed: () => closed });
    await stdin.write({ offset: 0, data: bytes("abcd"), end: false }, never);
    const waiting = stdin.write({ offset: 4, data: bytes("e"), end: false }, never);
    closed = true;
    stdin.wake();
    expect(await waiting).toEqual({ offset: 4, closed: true });
  });

  it("lets a writer go whose channel is gone", async () => {
    const stdin = feed({ bufferBytes: 2 });
    await stdin.write({ offset: 0, data: bytes("abcd"), end: false }, never);
    const gone = new AbortController();
    const waiting = stdin.write(
      { offset: 4, data: bytes("e"), end: false },
      { signal: gone.signal },
    );
    gone.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
  });
});
