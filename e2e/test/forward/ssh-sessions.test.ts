// The tokens of forwards: who has one, how many connections it opens, and how its end ends them.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { Forward, openForward, tcpTo } from "../../src/forward.ts";
import type { ForwardInit } from "../../src/forward.ts";
import { atOnceMs } from "../support/expect-exec.ts";
import { expectForwardError, expectForwardOk } from "../support/expect-forward.ts";
import { flags } from "../support/flags.ts";
import { TcpTarget } from "../support/tcp-target.ts";

let deployment: Deployment;
let client: OpenShellClient;
let sandboxId: string;
let target: TcpTarget;
beforeAll(async () => {
  deployment = await startDeployment({ supervisors: 2 });
  client = deployment.client();
  ({ sandboxId } = deployment.supervisor());
  target = await TcpTarget.start((socket) => socket.pipe(socket));
});
afterAll(async () => {
  await deployment[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
});

function forwardBy(token: string, to: ForwardInit["target"] = tcpTo(target.port)): Forward {
  return new Forward(client, { sandboxId, target: to, authorizationToken: token } as ForwardInit);
}

async function echoes(forward: Forward): Promise<void> {
  const before = forward.receivedBytes;
  await forward.send("ping");
  await forward.receivedAtLeast(before + 4);
}

const unauthenticated = { code: Code.Unauthenticated, kind: "unauthenticated" };
const exhausted = { code: Code.ResourceExhausted, kind: "limit_exceeded" };

describe("an SSH session", () => {
  it("tells its client where it called the gateway, and that for a day", async () => {
    const answer = await client.createSshSession({ sandboxId });
    const { hostname, port } = new URL(deployment.clientUrl);
    expect(answer).toMatchObject({
      sandboxId,
      gatewayHost: hostname,
      gatewayPort: Number(port),
      gatewayScheme: "http",
    });
    const leftMs = Number(answer.expiresAtMs) - Date.now();
    expect(Math.abs(leftMs - 24 * 60 * 60 * 1_000)).toBeLessThan(60_000);
  });

  it.each([
    ["", "authorization_token is required for ForwardTcp"],
    ["nonsense", "SSH session token not found"],
  ])("is needed for a forward: token %j", async (token, message) => {
    using forward = forwardBy(token);
    expectForwardError(await forward.ended, { ...unauthenticated, message });
  });

  it("opens nothing in another sandbox", async () => {
    const other = await client.createSshSession({ sandboxId: deployment.supervisor(1).sandboxId });
    using forward = forwardBy(other.token);
    const message = "SSH session token not found";
    expectForwardError(await forward.ended, { ...unauthenticated, message });
  });

  it("opens three connections at once, and another after one of them has ended", async () => {
    const { token } = await client.createSshSession({ sandboxId });
    const open = [1, 2, 3].map(() => forwardBy(token));
    await Promise.all(open.map(echoes));
    using fourth = forwardBy(token);
    const message = "SSH session connection limit reached";
    expectForwardError(await fourth.ended, { ...exhausted, message });
    open[0]!.end();
    expectForwardOk(await open[0]!.ended);
    using fifth = forwardBy(token);
    await echoes(fifth);
    for (const forward of open) forward.cancel();
  });

  it("is one of those that open twenty SSH connections to a sandbox, and no more", async () => {
    const ssh = { case: "ssh", value: {} } as unknown as ForwardInit["target"];
    const open = await Promise.all(
      Array.from({ length: 20 }, () => openForward(client, sandboxId, ssh)),
    );
    await Promise.all(open.map((forward) => forward.receivedAtLeast(8)));
    expect(open[0]!.received.toString()).toMatch(/^SSH-2\.0-/);
    using more = await openForward(client, sandboxId, ssh);
    const message = "sandbox SSH connection limit reached";
    expectForwardError(await more.ended, { ...exhausted, message });
    for (const forward of open) forward.cancel();
    await Promise.all(open.map((forward) => forward.ended));
  });

  it("cuts what is open by it when it is revoked, and nothing else", async () => {
    const { token } = await client.createSshSession({ sandboxId });
    using cut = forwardBy(token);
    using other = await openForward(client, sandboxId, tcpTo(target.port));
    await Promise.all([echoes(cut), echoes(other)]);
    const sinceMs = performance.now();
    expect(await client.revokeSshSession({ token })).toMatchObject({ revoked: true });
    expectForwardError(await cut.ended, {
      ...unauthenticated,
      message: "SSH session token revoked",
      outcome: "unknown",
    });
    expect(performance.now() - sinceMs).toBeLessThan(atOnceMs);
    await echoes(other);
    using again = forwardBy(token);
    const message = "SSH session token not found";
    expectForwardError(await again.ended, { ...unauthenticated, message });
    expect(await client.revokeSshSession({ token })).toMatchObject({ revoked: false });
  });

  it("survives a restart of the gateway", async () => {
    const { token } = await client.createSshSession({ sandboxId });
    const revoked = await client.createSshSession({ sandboxId });
    await client.revokeSshSession({ token: revoked.token });
    const { process } = deployment.supervisor();
    const after = process.mark();
    await deployment.restartGateway("SIGKILL");
    await process.waitForEvent("supervisor.ready", { after });
    client = deployment.client();
    using forward = forwardBy(token);
    await echoes(forward);
    using gone = forwardBy(revoked.token);
    const message = "SSH session token not found";
    expectForwardError(await gone.ended, { ...unauthenticated, message });
  });
});

describe("a short SSH session", () => {
  it("cuts what is open by it when it expires", async () => {
    await using short = await startDeployment({
      proxied: false,
      gatewayArgs: flags({ "ssh-session-ms": 1_500 }),
    });
    const own = short.client();
    const to = tcpTo(target.port);
    using forward = await openForward(own, short.supervisor().sandboxId, to);
    await echoes(forward);
    const message = "SSH session token expired";
    expectForwardError(await forward.ended, { ...unauthenticated, message, outcome: "unknown" });
    const init = { sandboxId: short.supervisor().sandboxId, target: to };
    using late = new Forward(own, { ...init, authorizationToken: forward.token } as ForwardInit);
    expectForwardError(await late.ended, { ...unauthenticated, message });
  });
});

describe("the logs of gateway and supervisors", () => {
  it("hold no token", async () => {
    const { token } = await client.createSshSession({ sandboxId });
    using forward = forwardBy(token);
    await echoes(forward);
    await client.revokeSshSession({ token });
    await forward.ended;
    const logs = deployment.dump(10_000);
    expect(logs).toContain("ssh_session.revoked");
    expect(logs).not.toContain(token);
  });
});
