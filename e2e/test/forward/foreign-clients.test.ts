// Clients that are not ours: @grpc/grpc-js with the .proto files as anybody loads them, and an SSH client on a forward.
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import ssh2 from "ssh2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { Forward, openForward } from "../../src/forward.ts";
import type { ForwardInit } from "../../src/forward.ts";
import { within } from "../../src/wait.ts";
import { TcpTarget } from "../support/tcp-target.ts";

const protoFolder = fileURLToPath(new URL("../../../packages/protocol/proto", import.meta.url));
const definitions = loadSync("openshell/v1/openshell.proto", {
  includeDirs: [protoFolder],
  keepCase: true,
  longs: String,
  oneofs: true,
});

interface Frame {
  init?: object;
  data?: Buffer;
}

type Answer = { token: string };

type ServiceClient = grpc.Client & {
  CreateSshSession(
    request: object,
    done: (error: grpc.ServiceError | null, answer: Answer) => void,
  ): void;
  ForwardTcp(): grpc.ClientDuplexStream<Frame, Frame>;
};

let deployment: Deployment;
let sandboxId: string;
let client: ServiceClient;
beforeAll(async () => {
  deployment = await startDeployment({ proxied: false });
  ({ sandboxId } = deployment.supervisor());
  const { openshell } = grpc.loadPackageDefinition(definitions) as unknown as {
    openshell: { v1: { OpenShell: new (...args: unknown[]) => ServiceClient } };
  };
  const { host } = new URL(deployment.gatewayUrl);
  client = new openshell.v1.OpenShell(host, grpc.credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await deployment[Symbol.asyncDispose]();
});

async function open(port: number) {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  client.CreateSshSession({ sandbox_id: sandboxId }, (error, answer) =>
    error === null ? resolve(answer) : reject(error),
  );
  const { token } = await promise;
  const call = client.ForwardTcp();
  const received: Buffer[] = [];
  call.on("data", ({ data }: Frame) => received.push(data!));
  call.on("error", () => {});
  const status = new Promise<grpc.StatusObject>((done) => call.on("status", done));
  call.write({
    init: {
      sandbox_id: sandboxId,
      service_id: "tests",
      tcp: { host: "127.0.0.1", port },
      authorization_token: token,
    },
  });
  return {
    call,
    text: () => Buffer.concat(received).toString(),
    status: () => within("the status of a forward", 15_000, status),
  };
}

describe("a grpc-js client", () => {
  it("half-closes and has its answer", async () => {
    await using target = await TcpTarget.start((socket) => {
      socket.on("data", () => {});
      socket.on("end", () => socket.end("after your end"));
    });
    const forward = await open(target.port);
    forward.call.write({ data: Buffer.from("all") });
    forward.call.end();
    expect(await forward.status()).toMatchObject({ code: grpc.status.OK });
    expect(forward.text()).toBe("after your end");
  });

  it("notices a server that closes first", async () => {
    await using target = await TcpTarget.start((socket) => void socket.resume().end("bye"));
    const forward = await open(target.port);
    expect(await forward.status()).toMatchObject({ code: grpc.status.OK });
    expect(forward.text()).toBe("bye");
  });

  it("is told UNAVAILABLE of a server that breaks the connection", async () => {
    await using target = await TcpTarget.start((socket) => void socket.write("half of"));
    const forward = await open(target.port);
    await new Promise((resolve) => forward.call.once("data", resolve));
    (await target.connection()).socket.resetAndDestroy();
    expect(await forward.status()).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: "tcp target broke the connection",
    });
  });

  it("that cancels resets the server's connection", async () => {
    await using target = await TcpTarget.start();
    const forward = await open(target.port);
    await target.connection();
    forward.call.cancel();
    expect((await forward.status()).code).toBe(grpc.status.CANCELLED);
    expect(await target.ended()).toBe("ECONNRESET");
  });
});

describe("an SSH client on a forward to the SSH server", () => {
  it("runs a command", async () => {
    using own = deployment.client();
    const target = { case: "ssh", value: {} } as unknown as ForwardInit["target"];
    using forward = await openForward(own, sandboxId, target);
    const ssh = new ssh2.Client();
    ssh.on("error", () => {});
    ssh.connect({ sock: asDuplex(forward) as never, username: "sandbox" });
    await within(
      "the handshake",
      15_000,
      new Promise<void>((done) => void ssh.once("ready", done)),
    );
    const { promise, resolve, reject } = Promise.withResolvers<{ code: number; text: string }>();
    ssh.exec("echo over ssh; exit 3", (error, channel) => {
      if (error) return reject(error);
      const output: Buffer[] = [];
      let code = -1;
      channel.on("data", (chunk: Buffer) => output.push(chunk));
      channel.on("exit", (exitCode: number) => (code = exitCode));
      channel.on("close", () => resolve({ code, text: Buffer.concat(output).toString() }));
    });
    expect(await within("the command", 15_000, promise)).toEqual({ code: 3, text: "over ssh\n" });
    ssh.end();
    expect((await forward.ended).error).toBeUndefined();
  });
});

/** What a ProxyCommand is to OpenSSH. */
function asDuplex(forward: Forward): Duplex {
  const duplex = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      void forward.send(data).then(() => done());
    },
    final(done) {
      forward.end();
      done();
    },
  });
  forward.onData = (data) => duplex.push(data);
  void forward.ended.then(() => duplex.push(null));
  return duplex;
}
