import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  BelayError,
  ERROR_KINDS,
  ErrorDetailSchema,
  fromConnectError,
  toConnectError,
} from "../src/index.ts";
import type { ErrorKind } from "../src/index.ts";

const kinds = Object.keys(ERROR_KINDS) as ErrorKind[];

describe("errors on the wire", () => {
  it.each(kinds)("%s survives the way to the peer and back", (kind) => {
    const ids = { sandboxId: "sb", execId: "ex", sessionId: "se", channelId: "ch" };
    const sent = toConnectError(new BelayError(kind, "what happened", { outcome: "running", ids }));
    expect(sent.code).toBe(ERROR_KINDS[kind].code);
    expect(fromConnectError(sent)).toMatchObject({
      kind,
      outcome: "running",
      ids,
      message: "what happened",
      retry: "follow",
    });
  });

  it("never advises to run a command again that may have run", () => {
    for (const kind of kinds) {
      for (const outcome of ["running", "completed", "unknown"] as const) {
        expect(new BelayError(kind, "", { outcome }).retry).toBe("follow");
      }
      expect(new BelayError(kind, "", { outcome: "not_started" }).retry).not.toBe("follow");
    }
  });

  it("hides the text of a foreign error, which may quote a secret", () => {
    const sent = toConnectError(new Error("token=hunter2"));
    expect(sent.code).toBe(Code.Internal);
    expect(JSON.stringify([sent.message, sent.findDetails(ErrorDetailSchema)])).not.toContain(
      "hunter2",
    );
  });

  it("gives connect's own errors a detail and keeps code and text", () => {
    const sent = toConnectError(new ConnectError("message is larger", Code.ResourceExhausted));
    expect(sent.code).toBe(Code.ResourceExhausted);
    expect(sent.rawMessage).toBe("message is larger");
    expect(sent.findDetails(ErrorDetailSchema)[0]).toMatchObject({
      kind: "limit_exceeded",
      outcome: "not_started",
      retry: "later",
      retryAfterMs: 1_000,
    });
  });

  it("claims nothing about a status that carries no detail", () => {
    expect(fromConnectError(new ConnectError("bye", Code.Unavailable)).outcome).toBe("unknown");
  });
});
