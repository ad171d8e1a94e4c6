// Starting: what a gateway refuses to start with, and that it says all that is wrong at once, without showing what is secret.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runToEnd } from "../../src/belay-process.ts";
import { builtGateway } from "../../src/deployment.ts";
import { startGateway } from "../support/scene.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "belay-start-"))));
afterAll(() => rm(folder, { recursive: true }));

const serve = (...args: string[]): ReturnType<typeof runToEnd> =>
  runToEnd({ name: "gateway", script: builtGateway, args: ["serve", ...args] });

describe("a gateway does not start", () => {
  it.each(["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])(
    "on %s without TLS and user tokens, and names every problem",
    async (listen) => {
      const { code, stderr } = await serve(
        "--listen",
        listen,
        "--data-dir",
        folder,
        "--test-without",
        "session-fanout",
      );
      expect(code).toBe(2);
      expect(stderr).toContain("--tls-cert and --tls-key");
      expect(stderr).toContain("--user-tokens");
      expect(stderr).toContain("--test-without is for tests on loopback only");
      expect(stderr).not.toContain("gateway.ready");
    },
  );

  it("with half of a TLS pair", async () => {
    const { code, stderr } = await serve("--data-dir", folder, "--tls-cert", join(folder, "c"));
    expect(code).toBe(2);
    expect(stderr).toContain("--tls-cert and --tls-key go together");
  });

  it("with options that make no sense, and names each of them", async () => {
    const { code, stderr } = await serve(
      "--heartbeat-interval-ms",
      "soon",
      "--max-execs",
      "0",
      "--listen",
      "nowhere",
    );
    expect(code).toBe(2);
    for (const name of ["--heartbeat-interval-ms", "--max-execs", "--listen", "--data-dir"]) {
      expect(stderr).toContain(name);
    }
  });

  it("with a file of user tokens that is wrong, and names the lines, not what is in them", async () => {
    const file = join(folder, "users.txt");
    await writeFile(file, "alice tooshort\nonly-a-subject\nbob a-good-token-0123456789 extra\n");
    const { code, stderr } = await serve(
      "--listen",
      "127.0.0.1:0",
      "--data-dir",
      folder,
      "--user-tokens",
      file,
    );
    expect(code).toBe(1);
    for (const line of ["line 1", "line 2", "line 3"]) expect(stderr).toContain(line);
    for (const secret of ["tooshort", "a-good-token"]) expect(stderr).not.toContain(secret);
  });

  it("on a port that is taken, and says what to do", async () => {
    await using gateway = await startGateway();
    const listen = new URL(gateway.gatewayUrl).host;
    const { code, stderr } = await serve("--listen", listen, "--data-dir", folder);
    expect(code).toBe(1);
    expect(stderr).toContain("EADDRINUSE");
    expect(stderr).toContain("--listen");
  });
});
