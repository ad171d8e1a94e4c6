// ExecSandboxInteractive as @grpc/grpc-js has it, which shares no code with us.
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll } from "../../src/wait.ts";
import { flags } from "../support/flags.ts";
import { ended, grpcJsClient } from "../support/grpc-js.ts";
import type { Event, ServiceClient } from "../support/grpc-js.ts";
import { runningExecs } from "../support/metrics.ts";

describe.each(["durable", "plain"] as const)("@grpc/grpc-js, in the %s form,", (form) => {
  let deployment: Deployment;
  let client: ServiceClient;
  beforeAll(async () => {
    const supervisorArgs = flags({ "exec-form": form });
    deployment = await startDeployment({ proxied: false, supervisorArgs });
    client = grpcJsClient(deployment.gatewayUrl);
  });
  afterAll(async () => {
    client.close();
    await deployment[Symbol.asyncDispose]();
  });

  function open(script: string, start: object = {}) {
    const call = client.ExecSandboxInteractive();
    const command = ["sh", "-c", script];
    call.write({ start: { sandbox_id: deployment.supervisor().sandboxId, command, ...start } });
    const stdout: Buffer[] = [];
    call.on("data", ({ stdout: piece }: Event) => piece && stdout.push(piece.data));
    const text = () => Buffer.concat(stdout).toString();
    const received = (wanted: string) =>
      poll(`${wanted} in the output`, () => text().includes(wanted), { detail: text });
    return { call, text, received, end: ended(call) };
  }

  it("types, is answered, and half-closes", async () => {
    const { call, text, received, end } = open("cat; exit 3", { stdin: Buffer.from("first ") });
    for (const step of ["one ", "two ", "three"]) {
      call.write({ stdin: Buffer.from(step) });
      await received(step);
    }
    call.end();
    const { events, status } = await end;
    expect([status.code, text()]).toEqual([grpc.status.OK, "first one two three"]);
    expect(events.at(-1)).toMatchObject({ payload: "exit", exit: { exit_code: 3 } });
  });

  it("has a terminal, resizes it, and interrupts", async () => {
    const { call, received, end } = open(
      "trap 'stty size' WINCH; sleep 300 & echo ready; wait; exec cat",
      { tty: true, cols: 90, rows: 25 },
    );
    await received("ready");
    call.write({ resize: { cols: 100, rows: 30 } });
    await received("30 100");
    call.write({ stdin: Buffer.of(3) });
    const { events, status } = await end;
    expect(status.code).toBe(grpc.status.OK);
    expect(events.at(-1)?.exit).toMatchObject({ exit_code: 130, signal: "INT" });
  });

  it("cancels, and nothing is left", async () => {
    const { call, received, end } = open("echo ready; cat; sleep 300");
    await received("ready");
    call.cancel();
    expect((await end).status.code).toBe(grpc.status.CANCELLED);
    await poll("no exec to be left", async () => (await runningExecs(deployment)) === 0);
  });

  it("gets the exit of a command that reads nothing of what it goes on to write", async () => {
    const { call, end } = open("sleep 0.5; exit 6");
    for (let sent = 0; sent < 20; sent += 1) call.write({ stdin: Buffer.alloc(1024 * 1024) });
    const { events, status } = await end;
    expect(status.code).toBe(grpc.status.OK);
    expect(events.at(-1)?.exit).toMatchObject({ exit_code: 6 });
  });

  it("is told what its first message must be", async () => {
    const call = client.ExecSandboxInteractive();
    call.write({ resize: { cols: 1, rows: 1 } });
    expect((await ended(call)).status).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: "first message must be a start payload",
    });
  });
});
