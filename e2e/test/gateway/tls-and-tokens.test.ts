// A gateway that others can reach: TLS on one port for every protocol, user tokens, and no secret in any log line.
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { ClientOptions } from "../../src/client.ts";
import { exits, refusesExec } from "../../src/puppet-ssh.ts";
import { PuppetSupervisor } from "../../src/puppet-supervisor.ts";
import { within } from "../../src/wait.ts";
import { atOnceMs, expectError, expectExit } from "../support/expect-exec.ts";
import { RawConnection } from "../support/raw-connection.ts";
import { emptyScene, startScene } from "../support/scene.ts";
import type { Scene, SceneOptions } from "../support/scene.ts";
import { startTlsGateway } from "../support/tls-gateway.ts";
import type { TlsGateway } from "../support/tls-gateway.ts";

let tls: TlsGateway;
/** Everything that must stay out of the log. */
const secrets = new Map<string, string>();
const wrongToken = "this-token-is-nobodys-0123456789";
const environmentValue = "environment-value-0123456789";
const stdin = "typed-in-secret-0123456789";

beforeAll(async () => {
  tls = await startTlsGateway(["--log-level", "debug"]);
  secrets.set("the user's token", tls.userToken);
  secrets.set("a wrong token", wrongToken);
  secrets.set("an environment value", environmentValue);
  secrets.set("stdin", stdin);
});
afterAll(() => tls[Symbol.asyncDispose]());

async function secureScene(options: SceneOptions): Promise<Scene> {
  const scene = await startScene(tls.gateway, { url: tls.url, ca: tls.ca, ...options });
  secrets.set(`the token of ${scene.sandboxId}`, scene.token);
  return scene;
}

describe.each(wireVariants)("over TLS, $protocol, HTTP/$httpVersion", (variant) => {
  const call = (options: ClientOptions): ReturnType<typeof openshellClient> =>
    openshellClient(tls.url, { ...variant, ca: tls.ca, ...options });

  it("runs an exec for a user", async () => {
    await using scene = await secureScene({ exec: exits(4, "through TLS") });
    using client = call({ token: tls.userToken });
    const run = scene.exec(client, {
      environment: { SECRET: environmentValue },
      stdin: Buffer.from(stdin),
    });
    expectExit(await run.result, 4, "through TLS");
  });

  it.each([
    ["no token", () => undefined, "a user's bearer token is required"],
    ["a wrong token", () => wrongToken, "unknown user token"],
    ["a sandbox's token", (scene: Scene) => scene.token, "unknown user token"],
  ])("refuses a caller with %s", async (_name, token, message) => {
    await using scene = await secureScene({});
    const shown = token(scene);
    using client = call(shown === undefined ? {} : { token: shown });
    expectError(await scene.exec(client, { environment: { SECRET: environmentValue } }).result, {
      code: Code.Unauthenticated,
      message,
      kind: "unauthenticated",
      outcome: "not_started",
      retry: "never",
      ids: [],
    });
    await expect(client.getSandbox({ name: "x" })).rejects.toMatchObject({
      code: Code.Unauthenticated,
    });
    expect(scene.puppet.opens).toEqual([]);
  });

  it("does not believe a certificate that the client was not told of", async () => {
    await using scene = await secureScene({});
    using client = openshellClient(tls.url, { ...variant, token: tls.userToken });
    const result = await scene.exec(client).result;
    expect(result).toMatchObject({ exit: undefined, hung: false });
    expect(String(result.error)).toMatch(/self-signed certificate/);
  });
});

describe("the TLS port", () => {
  it.each([
    [["h2", "http/1.1"], "h2"],
    [["http/1.1"], "http/1.1"],
  ])("offered %j by ALPN, chooses %s", async (offered, chosen) => {
    const { hostname: host, port } = new URL(tls.url);
    const socket = connectTls({ host, port: Number(port), ca: tls.ca, ALPNProtocols: offered });
    await within("the handshake", 5_000, once(socket, "secureConnect"));
    expect(socket.alpnProtocol).toBe(chosen);
    socket.destroy();
  });

  it.each(["GET /healthz HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])(
    "ends a connection that says %j in clear, at once",
    async (text) => {
      using raw = new RawConnection(tls.url);
      const sinceMs = performance.now();
      raw.say(text);
      expect(await raw.goneAfterMs(sinceMs, 20_000)).toBeLessThan(atOnceMs);
      expect(raw.received.toString()).not.toContain("HTTP/1.1 200");
    },
  );
});

describe("a user's token", () => {
  it("may not act for a sandbox", async () => {
    const { sandboxId } = await emptyScene(tls.gateway);
    await using puppet = new PuppetSupervisor({
      url: tls.url,
      ca: tls.ca,
      token: tls.userToken,
      sandboxId,
    });
    expect(await within("the refusal", 10_000, puppet.ended)).toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "a user's token may not act for a sandbox",
    });
  });
});

describe("the log", () => {
  it("holds no token, no environment value and no input, whatever went wrong", async () => {
    using client = openshellClient(tls.url, { ca: tls.ca, token: tls.userToken });
    await using scene = await secureScene({ exec: refusesExec });
    const request = { environment: { SECRET: environmentValue }, stdin: Buffer.from(stdin) };
    expect((await scene.exec(client, request).result).detail?.kind).toBe("exec_start_failed");
    const tooLong = { ...request, command: Array<string>(8).fill(environmentValue.repeat(1_000)) };
    expect((await scene.exec(client, tooLong).result).code).toBe(Code.InvalidArgument);
    const lines = tls.gateway.gateway.lines.map(({ text }) => text);
    expect(lines.length).toBeGreaterThan(20);
    for (const [name, secret] of secrets) {
      expect(
        lines.filter((line) => line.includes(secret)),
        name,
      ).toEqual([]);
    }
  });
});
