// What @grpc/grpc-js sees beyond what every client sees: details of errors, deadlines, cancellation.
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Deployment } from "../../src/deployment.ts";
import { refuses } from "../../src/puppet-relays.ts";
import { endsBySignal, exits } from "../../src/puppet-ssh.ts";
import { definitions, ended, grpcJsClient } from "../support/grpc-js.ts";
import type { Event, ServiceClient } from "../support/grpc-js.ts";
import { HeldExecs } from "../support/held-execs.ts";
import { startGateway, startScene } from "../support/scene.ts";
import type { Scene } from "../support/scene.ts";

let gateway: Deployment;
let client: ServiceClient;
beforeAll(async () => {
  gateway = await startGateway();
  client = grpcJsClient(gateway.gatewayUrl);
});
afterAll(async () => {
  client.close();
  await gateway[Symbol.asyncDispose]();
});

function start(scene: Scene, options: grpc.CallOptions = {}): grpc.ClientReadableStream<Event> {
  return client.ExecSandbox({ sandbox_id: scene.sandboxId, command: ["the-command"] }, options);
}

/** What stands in grpc-status-details-bin: google.rpc.Status, whose details are Any messages. Read without our own code. */
function errorDetail({ metadata }: grpc.StatusObject): Record<string, unknown> {
  const [bytes] = metadata.get("grpc-status-details-bin") as Buffer[];
  expect(bytes).toBeInstanceOf(Buffer);
  const typeName = "belay.v1.ErrorDetail";
  const nameAt = bytes!.indexOf(`type.googleapis.com/${typeName}`);
  expect(nameAt).toBeGreaterThan(0);
  const valueAt = nameAt + `type.googleapis.com/${typeName}`.length;
  // Field 2, length-delimited, of the Any. Our details are shorter than 16 KiB.
  expect(bytes![valueAt]).toBe(0x12);
  const [low = 0, high = 0] = bytes!.subarray(valueAt + 1);
  const from = low < 0x80 ? valueAt + 2 : valueAt + 3;
  const length = low < 0x80 ? low : (low & 0x7f) | (high << 7);
  const message = (
    definitions as unknown as Record<
      string,
      { deserialize(bytes: Buffer): Record<string, unknown> }
    >
  )[typeName]!;
  return message.deserialize(bytes!.subarray(from, from + length));
}

describe("@grpc/grpc-js", () => {
  it("runs an exec: output, then exit, then OK", async () => {
    await using scene = await startScene(gateway, { exec: exits(3, "out", "err") });
    const { events, status } = await ended(start(scene));
    expect(status.code).toBe(grpc.status.OK);
    expect(events.map(({ payload }) => payload).toSorted()).toEqual(["exit", "stderr", "stdout"]);
    expect(events.at(-1)).toMatchObject({ payload: "exit", exit: { exit_code: 3 } });
    const text = (of: "stdout" | "stderr"): string =>
      Buffer.concat(events.flatMap((event) => event[of]?.data ?? [])).toString();
    expect([text("stdout"), text("stderr")]).toEqual(["out", "err"]);
  });

  it("sees a signal as 128 + n", async () => {
    await using scene = await startScene(gateway, { exec: endsBySignal("KILL") });
    const { events } = await ended(start(scene));
    expect(events.at(-1)?.exit).toMatchObject({ exit_code: 137 });
  });

  it("gets a sandbox by name", async () => {
    await using scene = await startScene(gateway);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    client.GetSandbox({ name: `box-${scene.sandboxId}` }, (error, value) =>
      error ? reject(error) : resolve(value),
    );
    expect(await promise).toMatchObject({ sandbox: { metadata: { id: scene.sandboxId } } });
  });

  it("reads the error's text and its detail", async () => {
    await using scene = await startScene(gateway, { relays: refuses("no room in the sandbox") });
    const { events, status } = await ended(start(scene));
    expect(events).toEqual([]);
    expect(status).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: "no room in the sandbox",
    });
    const { channelId } = await scene.puppet.opened();
    expect(errorDetail(status)).toMatchObject({
      kind: "relay_refused",
      outcome: "not_started",
      retry: "now",
      sandbox_id: scene.sandboxId,
      session_id: scene.puppet.sessionId,
      channel_id: channelId,
      exec_id: expect.stringMatching(/./) as string,
    });
  });

  it("has its deadline kept, and the command ended", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const startMs = performance.now();
    const { status } = await ended(start(scene, { deadline: Date.now() + 1_500 }));
    expect(status.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    expect(performance.now() - startMs).toBeGreaterThan(1_350);
    await held.signaled("TERM");
  });

  it("cancels, and the command is ended", async () => {
    const held = new HeldExecs();
    await using scene = await startScene(gateway, { exec: held.script });
    const call = start(scene);
    await scene.running();
    call.cancel();
    expect((await ended(call)).status.code).toBe(grpc.status.CANCELLED);
    await held.signaled("TERM");
  });

  it.each(["openshell.v1.OpenShell/NoSuchMethod", "no.such.Service/Method"])(
    "is told UNIMPLEMENTED of %s",
    async (path) => {
      const { promise, resolve } = Promise.withResolvers<grpc.ServiceError | null>();
      const asIs = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(`/${path}`, asIs, asIs, Buffer.alloc(0), resolve);
      expect(await promise).toMatchObject({ code: grpc.status.UNIMPLEMENTED });
    },
  );
});
