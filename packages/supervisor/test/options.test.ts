import { describe, expect, it } from "vitest";
import { parseCommandLine } from "@belay/program";
import { defaultLimits } from "../src/limits.ts";
import { runCommand, toLimits, toTokenSource } from "../src/options.ts";

const program = { name: "belay-supervisor", version: "0", summary: "", commands: [runCommand] };

function parse(argv: string[], env: Record<string, string> = {}) {
  const line = parseCommandLine(program, { argv: ["run", ...argv], env });
  if (line.is === "end") throw new Error(line.stderr || line.stdout);
  return line.invocation.options;
}

const gateway = ["--gateway", "http://127.0.0.1:1"];

describe("the options of the supervisor", () => {
  it("are the defaults of the limits where nothing is said", () => {
    expect(toLimits(parse(gateway))).toEqual(defaultLimits);
  });

  it("take OpenShell's variables, and Belay's first", () => {
    const openshell = {
      OPENSHELL_ENDPOINT: "http://127.0.0.1:2",
      OPENSHELL_SANDBOX_ID: "theirs",
      OPENSHELL_SANDBOX_TOKEN: "their-token",
    };
    const theirs = parse([], openshell);
    expect(theirs.gateway.port).toBe("2");
    expect(theirs.sandboxId).toBe("theirs");
    expect(toTokenSource(theirs, openshell)).toEqual({ is: "value", token: "their-token" });

    const both = { ...openshell, BELAY_SANDBOX_ID: "ours", BELAY_SANDBOX_TOKEN: "our-token" };
    expect(parse([], both).sandboxId).toBe("ours");
    expect(toTokenSource(parse([], both), both)).toEqual({ is: "value", token: "our-token" });
  });

  it("give execs cgroups only on request", () => {
    expect(parse(gateway).execCgroups).toBe("off");
    expect(parse([...gateway, "--exec-cgroups=auto"]).execCgroups).toBe("auto");
    expect(() => parse([...gateway, "--exec-cgroups=always"])).toThrow(/auto, off/);
  });

  it("prefer a token file, which can be replaced", () => {
    const env = { BELAY_SANDBOX_TOKEN: "x", BELAY_SANDBOX_TOKEN_FILE: "/t" };
    expect(toTokenSource(parse(gateway, env), env)).toEqual({ is: "file", path: "/t" });
    expect(toTokenSource(parse(gateway), {})).toBeUndefined();
  });

  it("switch backstops off with 0, and keep orphans with keep", () => {
    const limits = toLimits(
      parse([
        ...gateway,
        "--keepalive-interval-ms=0",
        "--heartbeat-missed=0",
        "--ssh-keepalive-interval-ms=0",
        "--orphan-window-ms=keep",
      ]),
    );
    expect(limits.http2Keepalive).toEqual({ probeEveryMs: 0, deadAfterMs: 0 });
    expect(limits.heartbeatsMissed).toBe(0);
    expect(limits.sshKeepalive.intervalMs).toBe(0);
    expect(limits.orphanWindowMs).toBe(Number.POSITIVE_INFINITY);
    expect(toLimits(parse([...gateway, "--orphan-window-ms=0"])).orphanWindowMs).toBe(0);
  });

  it("say how long results are kept", () => {
    expect(toLimits(parse([...gateway, "--exec-retention-ms=6000"])).retentionMs).toBe(6_000);
    expect(() => parse([...gateway, "--exec-retention-ms=0"])).toThrow(/exec-retention-ms/);
  });

  it("are refused where they cannot be followed", () => {
    const wrong = [...gateway, "--orphan-window-ms=soon", "--tls-cert=/c", "--sandbox-id=a/b"];
    expect(() => parse(wrong)).toThrow(/orphan-window-ms/);
    expect(() => parse(wrong.slice(0, 2).concat(wrong.slice(3)))).toThrow(
      /sandbox-id[\s\S]*go together/,
    );
    expect(() => parse([...gateway, "--reconnect-min-ms=20000"])).toThrow(/reconnect-max-ms/);
  });
});
