// All ways in which a command is not started, over every protocol: code, text, and in the detail what a program needs to know.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openshellClient, wireVariants } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import type { RunningExec } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import {
  claimsAndSwallows,
  ignores,
  refuses,
  reportsButNeverClaims,
} from "../../src/puppet-relays.ts";
import { exits, ignoresExec, refusesExec } from "../../src/puppet-ssh.ts";
import { sleepMs } from "../../src/wait.ts";
import { atOnceMs, expectError, expectExit, slackMs } from "../support/expect-exec.ts";
import type { ExpectedError } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { HeldExecs } from "../support/held-execs.ts";
import { startGateway, startScene } from "../support/scene.ts";
import type { Scene, SceneOptions } from "../support/scene.ts";

const waitMs = 600;
const execsPerSandbox = 2;
const everyId = ["execId", "sandboxId", "sessionId", "channelId"] as const;

let gateway: Deployment;
beforeAll(async () => {
  gateway = await startGateway(
    flags({
      "session-wait-ms": waitMs,
      "relay-wait-ms": waitMs,
      "ssh-ready-ms": waitMs,
      "exec-start-ms": waitMs,
      "max-execs-per-sandbox": execsPerSandbox,
    }),
  );
});
afterAll(() => gateway[Symbol.asyncDispose]());

interface Row {
  name: string;
  scene?: SceneOptions;
  /** Defaults to one exec. */
  start?: (scene: Scene, client: OpenShellClient) => Promise<RunningExec>;
  /** Ends after the wait, and not before; otherwise at once. */
  waits?: true;
  error: ExpectedError;
}

const now = { code: Code.Unavailable, outcome: "not_started", retry: "now" } as const;

const rows: Row[] = [
  {
    name: "no supervisor session within the wait",
    async start(scene, client) {
      scene.puppet.endSession();
      await scene.puppet.ended;
      return scene.exec(client);
    },
    waits: true,
    error: {
      ...now,
      message: /^supervisor relay failed: ./,
      kind: "session_wait_timeout",
    },
  },
  {
    name: "a relay that the supervisor says nothing of",
    scene: { relays: ignores() },
    waits: true,
    error: {
      ...now,
      code: Code.DeadlineExceeded,
      message: "relay open timed out",
      kind: "relay_open_timeout",
      ids: everyId,
    },
  },
  {
    name: "a relay that is reported open and never claimed",
    scene: { relays: reportsButNeverClaims() },
    waits: true,
    error: {
      ...now,
      code: Code.DeadlineExceeded,
      message: "relay open timed out",
      kind: "relay_open_timeout",
      ids: everyId,
    },
  },
  {
    name: "a relay that the supervisor refuses",
    scene: { relays: refuses("target: connection refused (111)") },
    error: {
      ...now,
      message: "target: connection refused (111)",
      kind: "relay_refused",
      ids: everyId,
    },
  },
  {
    name: "a session that ends while the relay is pending",
    scene: { relays: ignores() },
    async start(scene, client) {
      const run = scene.exec(client);
      await scene.puppet.opened();
      scene.puppet.endSession();
      return run;
    },
    error: { ...now, message: "relay channel dropped", kind: "relay_dropped", ids: everyId },
  },
  {
    name: "a connection that is lost while the relay is pending",
    scene: { relays: ignores(), proxied: true },
    async start(scene, client) {
      const run = scene.exec(client);
      await scene.puppet.opened();
      scene.proxy.cut("rst");
      return run;
    },
    error: { ...now, message: "relay channel dropped", kind: "relay_dropped", ids: everyId },
  },
  {
    name: "an SSH server that never answers",
    scene: { relays: claimsAndSwallows() },
    waits: true,
    error: { ...now, message: /^SSH handshake/, kind: "ssh_handshake_failed", ids: everyId },
  },
  {
    name: "an SSH server that is gone during its handshake",
    scene: { relays: (puppet, { channelId }) => puppet.claim(channelId).end() },
    error: { ...now, message: "relay channel dropped", kind: "relay_dropped", ids: everyId },
  },
  {
    name: "a command that the sandbox refuses to start",
    scene: { exec: refusesExec },
    error: {
      ...now,
      message: "the sandbox could not start the command",
      kind: "exec_start_failed",
      ids: everyId,
    },
  },
  {
    name: "a command of which the sandbox never says whether it started",
    scene: { exec: ignoresExec },
    waits: true,
    error: {
      code: Code.Unavailable,
      message: /^start of the command/,
      kind: "exec_start_timeout",
      outcome: "unknown",
      retry: "follow",
      ids: everyId,
    },
  },
  {
    name: "more execs at once than a sandbox may have",
    async start(scene, client) {
      for (let n = 0; n < execsPerSandbox; n++) scene.exec(client);
      await scene.running(execsPerSandbox);
      return scene.exec(client);
    },
    scene: { exec: new HeldExecs().script },
    error: {
      code: Code.ResourceExhausted,
      message: "at most 2 execs run at once per sandbox",
      kind: "limit_exceeded",
      outcome: "not_started",
      retry: "later",
      ids: [],
    },
  },
];

describe.each(wireVariants)("over $protocol, HTTP/$httpVersion", (variant) => {
  let client: OpenShellClient;
  beforeAll(() => void (client = openshellClient(gateway.gatewayUrl, variant)));
  afterAll(() => client[Symbol.dispose]());

  it.concurrent.each(rows)("$name", async ({ scene: options, start, waits, error }) => {
    await using scene = await startScene(gateway, options);
    const startMs = performance.now();
    const run = start === undefined ? scene.exec(client) : await start(scene, client);
    const result = await run.result;
    const tookMs = performance.now() - startMs;
    expectError(result, error);
    expect(tookMs).toBeGreaterThanOrEqual(waits ? waitMs * 0.9 : 0);
    expect(tookMs).toBeLessThan(waits ? waitMs + slackMs : atOnceMs);
  });
});

describe("an exec that waits for a session", () => {
  it("runs as soon as the supervisor comes back in time", async () => {
    await using patient = await startGateway();
    await using scene = await startScene(patient);
    scene.puppet.endSession();
    await scene.puppet.ended;
    const run = scene.exec(patient.client());
    expect(await Promise.race([run.result, sleepMs(waitMs)])).toBeUndefined();
    await scene.connect({ exec: exits(6, "came") });
    expectExit(await run.result, 6, "came");
  });
});
