import { createHash } from "node:crypto";
import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { BelayError, ExecSandboxEventSchema, OpenShell, toConnectError } from "@belay/protocol";
import type { ExecSandboxEvent } from "@belay/protocol";
import { describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import { collectExec, startExec, startInteractive } from "../../src/collect-exec.ts";

type Exec = ServiceImpl<typeof OpenShell>["execSandbox"];
type Interactive = ServiceImpl<typeof OpenShell>["execSandboxInteractive"];

interface FakeGateway extends AsyncDisposable {
  url: string;
}

async function fakeGateway(
  routes: { execSandbox?: Exec; execSandboxInteractive?: Interactive },
  httpVersion: "1.1" | "2" = "2",
): Promise<FakeGateway> {
  const handler = connectNodeAdapter({ routes: (router) => router.service(OpenShell, routes) });
  const server = httpVersion === "2" ? http2.createServer(handler) : http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function output(stream: "stdout" | "stderr", text: string): ExecSandboxEvent {
  return create(ExecSandboxEventSchema, {
    payload: { case: stream, value: { data: Buffer.from(text) } },
  });
}

function exit(exitCode: number): ExecSandboxEvent {
  return create(ExecSandboxEventSchema, { payload: { case: "exit", value: { exitCode } } });
}

const request = { sandboxId: "box", command: ["true"] };

describe.each(wireVariants)("$protocol over HTTP/$httpVersion", ({ protocol, httpVersion }) => {
  it("collects output, exit and hashes", async () => {
    await using gateway = await fakeGateway(
      {
        async *execSandbox({ command }) {
          yield output("stdout", "one ");
          yield output("stderr", "warned");
          yield output("stdout", command[0] ?? "");
          yield exit(3);
        },
      },
      httpVersion,
    );
    using client = openshellClient(gateway.url, { protocol, httpVersion });
    const result = await collectExec(client, { ...request, command: ["two"] });
    expect(result).toMatchObject({
      exitCode: 3,
      error: undefined,
      outcome: "completed",
      violations: [],
      hung: false,
      messages: 4,
    });
    expect([result.stdout.toString(), result.stderr.toString()]).toEqual(["one two", "warned"]);
    expect(result.totals.stdout).toEqual({
      bytes: 7,
      sha256: createHash("sha256").update("one two").digest("hex"),
    });
  });

  it("gives an error with its outcome", async () => {
    await using gateway = await fakeGateway(
      {
        async *execSandbox() {
          yield output("stdout", "half");
          throw toConnectError(
            new BelayError("relay_lost", "the relay ended", { outcome: "running" }),
          );
        },
      },
      httpVersion,
    );
    using client = openshellClient(gateway.url, { protocol, httpVersion });
    const result = await collectExec(client, request);
    expect(result).toMatchObject({
      exit: undefined,
      code: Code.Unavailable,
      outcome: "running",
      violations: [],
    });
    expect(result.detail).toMatchObject({ kind: "relay_lost", retry: "follow" });
    expect(result.stdout.toString()).toBe("half");
  });
});

describe("a stream that breaks the rules", () => {
  it("is told: no exit, words after the exit, no payload", async () => {
    await using silent = await fakeGateway({ async *execSandbox() {} });
    using first = openshellClient(silent.url);
    expect((await collectExec(first, request)).violations).toEqual([
      "ended OK without an exit event",
    ]);
    await using talkative = await fakeGateway({
      async *execSandbox() {
        yield create(ExecSandboxEventSchema);
        yield exit(0);
        yield output("stdout", "late");
      },
    });
    using second = openshellClient(talkative.url);
    expect((await collectExec(second, request)).violations).toEqual([
      "an event without payload",
      "stdout after the exit event",
    ]);
  });

  it("is given up when it never ends", async () => {
    await using gateway = await fakeGateway({
      async *execSandbox(_request, { signal }) {
        yield output("stdout", "x");
        await once(signal, "abort");
      },
    });
    using client = openshellClient(gateway.url);
    await expect(collectExec(client, request, { limitMs: 100 })).resolves.toMatchObject({
      hung: true,
      code: Code.Canceled,
    });
  });
});

describe("a run that a test acts on", () => {
  it("waits for output, then cancels", async () => {
    await using gateway = await fakeGateway({
      async *execSandbox(_request, { signal }) {
        yield output("stdout", "rea");
        yield output("stdout", "dy");
        await once(signal, "abort");
      },
    });
    using client = openshellClient(gateway.url);
    const run = startExec(client, request);
    await run.received("ready");
    run.cancel();
    await expect(run.result).resolves.toMatchObject({ code: Code.Canceled, hung: false });
  });

  it("reads slowly and keeps only hashes when asked to", async () => {
    await using gateway = await fakeGateway({
      async *execSandbox() {
        for (let part = 0; part < 5; part++) yield output("stdout", "x");
        yield exit(0);
      },
    });
    using client = openshellClient(gateway.url);
    const result = await collectExec(client, request, { readDelay: 20, keep: false });
    expect(result.tookMs).toBeGreaterThan(100);
    expect([result.stdout.length, result.totals.stdout.bytes]).toEqual([0, 5]);
  });

  it("sends input while it runs, and its end", async () => {
    await using gateway = await fakeGateway({
      async *execSandboxInteractive(inputs) {
        for await (const { payload } of inputs) {
          if (payload.case === "stdin")
            yield output("stdout", Buffer.from(payload.value).toString());
          else yield output("stderr", payload.case ?? "");
        }
        yield exit(0);
      },
    });
    using client = openshellClient(gateway.url);
    const { run, input } = startInteractive(client, request);
    await run.received("start", "stderr");
    input.stdin("hello");
    await run.received("hello");
    input.resize(100, 30);
    input.end();
    const result = await run.result;
    expect([result.exitCode, result.stderr.toString(), result.violations]).toEqual([
      0,
      "startresize",
      [],
    ]);
  });
});
