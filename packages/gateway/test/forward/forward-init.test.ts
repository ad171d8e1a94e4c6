import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { TcpForwardFrameSchema, TcpForwardInitSchema } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { readForwardInit } from "../../src/forward/forward-init.ts";

type Init = MessageInitShape<typeof TcpForwardInitSchema>;

function read(init: Init) {
  const whole = { sandboxId: "sb-1", authorizationToken: "t", ...init };
  return readForwardInit(
    create(TcpForwardFrameSchema, { payload: { case: "init", value: whole as never } }),
  );
}
const tcp = (host: string, port: number) => ({
  target: { case: "tcp", value: { host, port } } as const,
});

describe("the first frame of ForwardTcp", () => {
  it("must come", () => {
    expect(() => readForwardInit(undefined)).toThrow(
      expect.objectContaining({ kind: "protocol_violation", message: "empty ForwardTcp stream" }),
    );
  });

  it.each([{ payload: { case: "data", value: Buffer.from("x") } }, {}] as const)(
    "must be init (%#)",
    (frame) => {
      expect(() => readForwardInit(create(TcpForwardFrameSchema, frame as never))).toThrow(
        expect.objectContaining({
          kind: "protocol_violation",
          message: "first TcpForwardFrame must be init",
        }),
      );
    },
  );

  it.each<[string, Init]>([
    ["sandbox_id is required", { sandboxId: "" }],
    ["tcp forward target is required", {}],
    ["tcp target port must be between 1 and 65535", tcp("127.0.0.1", 0)],
    ["tcp target port must be between 1 and 65535", tcp("127.0.0.1", 65_536)],
    ["tcp target host is required", tcp(" ", 80)],
    ["tcp target host must be loopback", tcp("10.0.0.1", 80)],
    ["tcp target host must be loopback", tcp("metadata.internal", 80)],
  ])("is refused with %j", (message, init) => {
    expect(() => read(init)).toThrow(expect.objectContaining({ kind: "invalid_request", message }));
  });

  it("names no sandbox with a malformed id", () => {
    expect(() => read({ sandboxId: "../x", ...tcp("::1", 1) })).toThrow(
      expect.objectContaining({ kind: "sandbox_not_found", message: "sandbox not found" }),
    );
  });

  it.each(["127.0.0.1", "127.9.9.9", "::1", "localhost", " localhost "])(
    "may lead to a port on %j",
    (host) => {
      expect(read(tcp(host, 65_535))).toEqual({
        sandboxId: "sb-1",
        target: { case: "tcp", value: { host: host.trim(), port: 65_535 } },
        token: "t",
      });
    },
  );

  it("may lead to the SSH server, whatever service_id it names", () => {
    const init = { target: { case: "ssh", value: {} }, serviceId: "ssh-proxy:sb-1" } as const;
    expect(read(init).target.case).toBe("ssh");
  });
});
