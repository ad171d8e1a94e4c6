import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { BelayError, ErrorDetailSchema, OpenShell } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { translateErrors } from "../../src/rpc/translate-errors.ts";
import { logLines } from "../support/log-lines.ts";
import { rejection } from "@belay/relay-core/testing";

/** A client of a service in this process whose methods fail with this. */
function scene(failure: unknown) {
  const { log, lines } = logLines();
  const transport = createRouterTransport(
    ({ service }) => {
      service(OpenShell, {
        health: () => {
          throw failure;
        },
        async *execSandbox() {
          yield { payload: { case: "stdout", value: {} } };
          throw failure;
        },
      });
    },
    { router: { interceptors: [translateErrors(log)] } },
  );
  const client = createClient(OpenShell, transport);
  const calls = {
    "a unary call": () => client.health({}),
    async "a stream"() {
      for await (const _ of client.execSandbox({}));
    },
  };
  return { lines, calls };
}

describe.each(["a unary call", "a stream"] as const)("an error of %s", (kind) => {
  it("becomes its Connect code, with a detail that programs read", async () => {
    const failure = new BelayError("relay_lost", "the relay is gone", { ids: { execId: "e" } });
    const { calls, lines } = scene(failure);
    const error = (await rejection(calls[kind]())) as ConnectError;
    expect([error.code, error.rawMessage]).toEqual([Code.Unavailable, "the relay is gone"]);
    expect(error.findDetails(ErrorDetailSchema)).toMatchObject([
      { kind: "relay_lost", outcome: "unknown", retry: "follow", execId: "e" },
    ]);
    expect(lines).toEqual([]);
  });

  it("that nobody foresaw tells its text to the log, not to the caller", async () => {
    const { calls, lines } = scene(new TypeError("secret is not a function"));
    const error = (await rejection(calls[kind]())) as ConnectError;
    expect([error.code, error.rawMessage]).toEqual([Code.Internal, "internal error"]);
    expect(lines).toMatchObject([{ level: "error", event: "rpc.failed" }]);
  });
});
