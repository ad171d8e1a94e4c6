import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  BelayError,
  GatewayFrameSchema,
  OutputStream,
  SupervisorFrameSchema,
} from "@belay/protocol";
import type { SupervisorFrame } from "@belay/protocol";
import { FRAME_OUTPUT_BYTES, FrameDecoder, encodeFrame, encodeOutputFrame } from "../src/index.ts";

const data = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 251));

const frames = [
  encodeFrame(SupervisorFrameSchema, { payload: { case: "info", value: { execId: "a" } } }),
  encodeFrame(SupervisorFrameSchema, {}),
  encodeOutputFrame("stdout", 0, data),
  encodeOutputFrame("stderr", 2 ** 40, data),
  encodeFrame(SupervisorFrameSchema, { payload: { case: "exit", value: { reason: "exited" } } }),
];
const stream = Buffer.concat(frames);

function decode(...chunks: Buffer[]): SupervisorFrame[] {
  const decoder = new FrameDecoder(SupervisorFrameSchema);
  const messages: SupervisorFrame[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let next = decoder.next(); next; next = decoder.next()) messages.push(next);
  }
  expect(decoder.isBetweenFrames).toBe(true);
  return messages;
}

describe("FrameDecoder", () => {
  it("gives the same messages wherever the stream is cut", () => {
    const whole = decode(stream);
    expect(whole.map(({ payload }) => payload.case)).toEqual([
      "info",
      undefined,
      "output",
      "output",
      "exit",
    ]);
    for (let cut = 0; cut <= stream.length; cut += 1) {
      expect(decode(stream.subarray(0, cut), stream.subarray(cut))).toEqual(whole);
    }
  });

  it("takes single bytes", () => {
    const bytes = Array.from(stream, (_, i) => stream.subarray(i, i + 1));
    expect(decode(...bytes)).toEqual(decode(stream));
  });

  it("knows how many bytes it waits for", () => {
    const decoder = new FrameDecoder(SupervisorFrameSchema);
    const waitedFor: number[] = [];
    const messages: SupervisorFrame[] = [];
    for (let at = 0; at < stream.length;) {
      const next = decoder.next();
      if (next) messages.push(next);
      else {
        waitedFor.push(decoder.missingBytes);
        decoder.push(stream.subarray(at, (at += decoder.missingBytes)));
      }
    }
    messages.push(decoder.next()!);
    expect(messages).toEqual(decode(stream));
    const bodies = frames.map((frame) => frame.length - 4);
    expect(waitedFor).toEqual(bodies.flatMap((bytes) => (bytes > 0 ? [4, bytes] : [4])));
  });

  it("knows that it stopped in the middle of a frame", () => {
    const decoder = new FrameDecoder(SupervisorFrameSchema);
    for (const cut of [1, 4, 6]) {
      decoder.push(stream.subarray(0, cut));
      expect(decoder.isBetweenFrames).toBe(false);
    }
  });

  it("refuses a frame beyond its limit before it holds it", () => {
    const decoder = new FrameDecoder(GatewayFrameSchema, { maxFrameBytes: 1_000 });
    decoder.push(Buffer.from([0, 0, 3, 233]));
    expect(() => decoder.next()).toThrow(
      expect.objectContaining({ kind: "protocol_violation" }) as BelayError,
    );
  });

  it("refuses what is no message", () => {
    const decoder = new FrameDecoder(GatewayFrameSchema);
    decoder.push(Buffer.from([0, 0, 0, 2, 0xff, 0xff]));
    expect(() => decoder.next()).toThrow("malformed");
  });
});

describe("encodeOutputFrame", () => {
  it.each([0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER])(
    "is what protobuf would have written, at offset %d",
    (offset) => {
      for (const name of ["stdout", "stderr"] as const) {
        const message = create(SupervisorFrameSchema, {
          payload: {
            case: "output",
            value: {
              stream: name === "stdout" ? OutputStream.STDOUT : OutputStream.STDERR,
              offset: BigInt(offset),
              data,
            },
          },
        });
        const [decoded] = decode(encodeOutputFrame(name, offset, data));
        expect(decoded && toBinary(SupervisorFrameSchema, decoded)).toEqual(
          toBinary(SupervisorFrameSchema, message),
        );
      }
    },
  );

  it("fits in one SSH packet", () => {
    const full = Buffer.alloc(FRAME_OUTPUT_BYTES);
    const frame = encodeOutputFrame("stderr", Number.MAX_SAFE_INTEGER, full);
    expect(frame.byteLength).toBeLessThanOrEqual(33 * 1024);
  });
});
