// Requests that clients must not send, over every protocol: refused before anything is opened, with the contract's texts.
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema, SandboxPhase } from "@belay/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { collectExec } from "../../src/collect-exec.ts";
import type { ExecRequestInit } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import { startBystander } from "../support/bystander.ts";
import type { Bystander } from "../support/bystander.ts";
import { expectError } from "../support/expect-exec.ts";
import { emptyScene, startGateway, startScene } from "../support/scene.ts";

let gateway: Deployment;
let bystander: Bystander;
beforeAll(async () => {
  gateway = await startGateway();
  bystander = await startBystander(gateway);
});
afterAll(async () => {
  await bystander[Symbol.asyncDispose]();
  await gateway[Symbol.asyncDispose]();
});

const secret = "s3cret-value-of-a-bad-request";
const keyText = "environment keys must match ^[A-Za-z_][A-Za-z0-9_]*$";
const KiB = 1024;

/** Each sent to the bystander's sandbox, which has a session: only the request is wrong. */
const invalid: [name: string, request: Partial<ExecRequestInit>, message: string | RegExp][] = [
  ["no sandbox id", { sandboxId: "" }, "sandbox_id is required"],
  ["no command", { command: [] }, "command is required"],
  ["an empty program name", { command: ["", "x"] }, /^command\[0\] is empty/],
  ["NUL in an argument", { command: ["echo", "a\0b"] }, "command[1] contains a NUL byte"],
  [
    "an oversize argument",
    { command: ["echo", "x".repeat(32 * KiB + 1)] },
    "command[1] is longer than 32768 bytes",
  ],
  ["too many arguments", { command: Array<string>(1_025).fill("x") }, /more than 1024 arguments/],
  [
    "a command line that no kernel takes",
    { command: Array<string>(5).fill("x".repeat(31 * KiB)) },
    /^command line is longer than/,
  ],
  ["NUL in the workdir", { workdir: "/tmp\0" }, "workdir contains a NUL byte"],
  ["an oversize workdir", { workdir: "/x".repeat(2_049) }, "workdir is longer than 4096 bytes"],
  ["an environment key with =", { environment: { "A=B": secret } }, keyText],
  ["an environment key with a digit first", { environment: { "1A": secret } }, keyText],
  ["an environment key with a line end", { environment: { "A\n": secret } }, keyText],
  ["an empty environment key", { environment: { "": secret } }, keyText],
  [
    "NUL in an environment value",
    { environment: { A: `${secret}\0` } },
    "environment value of A contains a NUL byte",
  ],
  [
    "an oversize environment value",
    { environment: { A: secret.repeat(2_000) } },
    "environment value of A is longer than 32768 bytes",
  ],
  ["a terminal of absurd size", { tty: true, cols: 4_000_000_000 }, /^cols and rows are at most/],
];

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  let client: OpenShellClient;
  beforeAll(() => void (client = openshellClient(gateway.gatewayUrl, variant)));
  afterAll(() => client[Symbol.dispose]());

  const exec = (request: Partial<ExecRequestInit>): ReturnType<typeof collectExec> =>
    collectExec(client, {
      sandboxId: bystander.scene.sandboxId,
      command: ["true"],
      ...request,
    } as ExecRequestInit);

  it.each(invalid)("refuses %s", async (_name, request, message) => {
    const result = await exec(request);
    expectError(result, {
      code: Code.InvalidArgument,
      message,
      kind: "invalid_request",
      outcome: "not_started",
      retry: "never",
      ids: [],
    });
    expect(result.error?.message).not.toContain(secret);
  });

  it.each(["no-such-sandbox", "../../etc/passwd", "x".repeat(200), "a\0b", "ü"])(
    "does not know a sandbox %j",
    async (sandboxId) => {
      expectError(await exec({ sandboxId }), {
        code: Code.NotFound,
        message: "sandbox not found",
        kind: "sandbox_not_found",
        outcome: "not_started",
        retry: "never",
        ids: [],
      });
    },
  );

  it("refuses a message that is larger than 4 MiB", async () => {
    expectError(await exec({ stdin: new Uint8Array(5 * KiB * KiB) }), {
      code: Code.ResourceExhausted,
      message: /./,
      kind: "limit_exceeded",
      outcome: "not_started",
      retry: "later",
      ids: [],
    });
  });

  it.each([
    [{ name: "" }, Code.InvalidArgument, "name is required", "invalid_request"],
    [{ name: "nobody" }, Code.NotFound, "sandbox not found", "sandbox_not_found"],
    [{ name: "../identity" }, Code.NotFound, "sandbox not found", "sandbox_not_found"],
    [{ name: "x", workspace: "else" }, Code.NotFound, "sandbox not found", "sandbox_not_found"],
  ])("GetSandbox %j", async (request, code, rawMessage, kind) => {
    const error = ConnectError.from(await client.getSandbox(request).catch((e: unknown) => e));
    expect(error).toMatchObject({ code, rawMessage });
    expect(error.findDetails(ErrorDetailSchema)).toMatchObject([{ kind, retry: "never" }]);
  });

  it("answers the other methods of the service with UNIMPLEMENTED", async () => {
    const error: unknown = await client.createSandbox({ spec: {} }).catch((e: unknown) => e);
    expect(ConnectError.from(error).code).toBe(Code.Unimplemented);
  });
});

describe("GetSandbox", () => {
  it("tells id, name and phase, as sessions come and go", async () => {
    const client = gateway.client();
    const minted = await gateway.token("a-box");
    const before = await client.getSandbox({ name: "a-box" });
    expect(before.sandbox).toMatchObject({
      metadata: { id: minted.sandboxId, name: "a-box" },
      status: { phase: SandboxPhase.PROVISIONING },
    });
    await using scene = await startScene(gateway);
    const name = `box-${scene.sandboxId}`;
    const ready = await client.getSandbox({ name, workspace: "default" });
    expect(ready.sandbox).toMatchObject({
      metadata: { id: scene.sandboxId, name },
      status: { phase: SandboxPhase.READY },
    });
    scene.puppet.endSession();
    await scene.puppet.ended;
    const gone = await client.getSandbox({ name });
    expect(gone.sandbox?.status?.phase).toBe(SandboxPhase.UNKNOWN);
  });

  it("does not know the sandbox of a token that was never used", async () => {
    await using scene = await emptyScene(gateway);
    expect((await scene.exec(gateway.client()).result).code).toBe(Code.NotFound);
  });
});

describe("all of it", () => {
  it("went by the exec that ran beside it, opened nothing, and left no value in the log", async () => {
    await bystander.expectEndsWell();
    expect(bystander.scene.puppet.opens).toHaveLength(1);
    expect(gateway.gateway.lines.map(({ text }) => text).join("\n")).not.toContain(secret);
    expect(gateway.gateway.lines.filter(({ fields }) => fields["level"] === "error")).toEqual([]);
  });
});
