import { parseCommandLine } from "@belay/program";
import { describe, expect, it } from "vitest";
import { defaultLimits } from "../src/limits.ts";
import { serveCommand, toConfig, tokenCommand } from "../src/options.ts";
import type { ServeOptions } from "../src/options.ts";

const program = {
  name: "belay-gateway",
  version: "1.0.0",
  summary: "Test.",
  commands: [serveCommand, tokenCommand],
} as const;

function parse(argv: string[], env: Record<string, string> = {}) {
  return parseCommandLine(program, { argv, env });
}

function config(argv: string[], env: Record<string, string> = {}) {
  const line = parse(["serve", "--data-dir", "data", ...argv], env);
  if (line.is !== "run") throw new Error(line.stderr);
  return toConfig(line.invocation.options as ServeOptions);
}

function complaint(argv: string[], env: Record<string, string> = {}): string[] {
  const line = parse(argv, env);
  if (line.is !== "end") throw new Error("expected a complaint");
  expect(line.exitCode).toBe(2);
  return line.stderr.split("\n").filter((text) => text.startsWith("  "));
}

describe("belay-gateway serve", () => {
  it("has the defaults that limits.ts names", () => {
    const { limits, ...rest } = config([]);
    expect(limits).toEqual(defaultLimits);
    expect(rest).toMatchObject({ host: "127.0.0.1", port: 17_670, without: new Set() });
    expect(rest.dataDir).toMatch(/data$/);
    expect("tls" in rest || "userTokensFile" in rest).toBe(false);
  });

  it("makes the seed's liveness reachable", () => {
    const { limits } = config(["--keepalive-interval-ms", "20000", "--ssh-keepalive-missed", "4"]);
    expect(limits.http2Keepalive).toEqual({ probeEveryMs: 20_000, deadAfterMs: 30_000 });
    expect(limits.sshKeepalive).toEqual({ probeEveryMs: 15_000, deadAfterMs: 60_000 });
  });

  it("knows where clients reach it only when told", () => {
    expect("publicUrl" in config([])).toBe(false);
    const { publicUrl } = config(["--public-url", "https://belay.example:8443"]);
    expect(publicUrl?.href).toBe("https://belay.example:8443/");
    expect(complaint(["serve", "--data-dir", "d", "--public-url", "belay.example"])).toHaveLength(
      1,
    );
  });

  it("switches a backstop off at 0", () => {
    const { limits } = config([
      "--keepalive-interval-ms",
      "0",
      "--ssh-keepalive-interval-ms",
      "0",
      "--heartbeat-interval-ms",
      "0",
      "--post-exit-wait-ms",
      "0",
    ]);
    expect(limits.http2Keepalive).toEqual({ probeEveryMs: 0, deadAfterMs: 0 });
    expect(limits.sshKeepalive).toEqual({ probeEveryMs: 0, deadAfterMs: 0 });
    expect(limits.heartbeat.intervalMs).toBe(0);
    expect(limits.postExit.quietMs).toBe(0);
  });

  it("takes every setting from the environment, and the command line first", () => {
    const env = { BELAY_RELAY_WAIT_MS: "1", BELAY_MAX_EXECS: "7", BELAY_LISTEN: "127.0.0.1:1" };
    const { limits, port } = config(["--relay-wait-ms", "2"], env);
    expect([limits.relayWaitMs, limits.execs, port]).toEqual([2, 7, 1]);
  });

  it("says how execs share connections", () => {
    const { limits } = config(["--max-execs-per-connection", "8", "--connection-idle-ms", "0"]);
    expect([limits.execsPerConnection, limits.connectionIdleMs]).toEqual([8, 0]);
  });

  it("lists all that is wrong with the values at once", () => {
    const problems = complaint(
      ["serve", "--listen", "nowhere", "--max-execs", "0", "--grace", "--relay-wait-ms", "soon"],
      { BELAY_KILL_WAIT_MS: "-1" },
    );
    for (const name of ["--listen", "--max-execs", "--grace", "--relay-wait-ms", "--data-dir"]) {
      expect(problems.join("\n")).toContain(name);
    }
    expect(problems.join("\n")).toContain("BELAY_KILL_WAIT_MS");
    expect(problems).toHaveLength(6);
  });

  it.each(["0.0.0.0:443", "10.1.2.3:443", "[::]:443", "example.com:443"])(
    "refuses to serve %s without TLS and without user tokens, both said at once",
    (where) => {
      const problems = complaint(["serve", "--data-dir", "d", "--listen", where]);
      expect(problems.join("\n")).toContain("give --tls-cert and --tls-key");
      expect(problems.join("\n")).toContain("give --user-tokens");
      expect(problems).toHaveLength(2);
    },
  );

  it.each([
    ["TLS", ["--user-tokens", "u"], "give --tls-cert and --tls-key"],
    ["user tokens", ["--tls-cert", "c", "--tls-key", "k"], "give --user-tokens"],
  ])("refuses to serve others without %s", (_what, given, problem) => {
    const problems = complaint(["serve", "--data-dir", "d", "--listen", "0.0.0.0:443", ...given]);
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });

  it("serves others with both", () => {
    const argv = ["--listen", "0.0.0.0:443", "--tls-cert", "c", "--tls-key", "k"];
    const { host, tls, userTokensFile } = config([...argv, "--user-tokens", "u"]);
    expect(host).toBe("0.0.0.0");
    expect(tls?.certFile).toMatch(/c$/);
    expect(userTokensFile).toMatch(/u$/);
  });

  it.each(["127.0.0.1:0", "127.9.9.9:0", "localhost:0", "[::1]:0"])(
    "serves %s without either",
    (where) => {
      expect(config(["--listen", where]).port).toBe(0);
    },
  );

  it.each([["--tls-cert"], ["--tls-key"]])("wants the other half of %s", (flag) => {
    const problems = complaint(["serve", "--data-dir", "d", flag, "x"]);
    expect(problems).toEqual([expect.stringContaining("--tls-cert and --tls-key go together")]);
  });

  it("switches backstops off for tests on loopback only", () => {
    const flag = ["--test-without", "session-fanout"];
    expect(config(flag).without).toEqual(new Set(["session-fanout"]));
    const problems = complaint([
      "serve",
      "--data-dir",
      "d",
      "--listen",
      "0.0.0.0:1",
      "--tls-cert",
      "c",
      "--tls-key",
      "k",
      "--user-tokens",
      "u",
      ...flag,
    ]);
    expect(problems).toEqual([expect.stringContaining("--test-without is for tests")]);
  });
});

describe("belay-gateway token", () => {
  it("is for a sandbox of a name", () => {
    const line = parse(["token", "--sandbox", "build-7", "--data-dir", "d"]);
    expect(line).toMatchObject({
      is: "run",
      invocation: { command: "token", options: { sandbox: "build-7", ttlSeconds: 2_592_000 } },
    });
  });

  it.each(["../x", "-x", "a b", ".", "x".repeat(65)])("refuses the name %j", (name) => {
    const problems = complaint(["token", `--sandbox=${name}`, "--data-dir", "d"]);
    expect(problems).toEqual([expect.stringContaining("--sandbox must be")]);
  });
});
