// Each backstop of architecture/gateway.md that a puppet can show, as a pair: the fault with the backstop, which ends the exec
// within its bound, and the same fault without it, which leaves the exec parked. All pairs run at once: they mostly wait.
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenShellClient } from "../../src/client.ts";
import type { RunningExec } from "../../src/collect-exec.ts";
import type { Deployment } from "../../src/deployment.ts";
import { exitsButNeverCloses, staysSilent, wedgesAfter } from "../../src/puppet-ssh.ts";
import { bounds, gatewayWithOnly, gatewayWithoutBackstops } from "../support/backstops.ts";
import type { Backstop } from "../support/backstops.ts";
import {
  atOnceMs,
  expectError,
  expectExit,
  expectParked,
  slackMs,
  timeToEnd,
} from "../support/expect-exec.ts";
import { finish, HeldExecs } from "../support/held-execs.ts";
import { startScene } from "../support/scene.ts";
import type { Scene, SceneOptions } from "../support/scene.ts";

/** A running exec with the fault on it. */
interface Faulty {
  scene: Scene;
  run: RunningExec;
  faultAtMs: number;
}

interface Row {
  backstop: Backstop;
  name: string;
  /** From the fault on. A silence that is noticed may have begun before the fault, by one interval. */
  notBeforeMs: number;
  withinMs: number;
  scene: () => {
    options: SceneOptions;
    running: (run: RunningExec, scene: Scene) => Promise<unknown>;
  };
  fault: (scene: Scene) => void;
  /** What the log says the reason was. */
  reason: RegExp;
  alsoLogged?: string;
}

/** A silent command, whose fault comes from outside once it runs. */
function silent(options: SceneOptions = {}): ReturnType<Row["scene"]> {
  return {
    options: { exec: staysSilent(), ...options },
    running: (_run, scene) => scene.running(),
  };
}

const rows: Row[] = [
  {
    backstop: "keepalive",
    name: "a path that swallows everything, both ways",
    notBeforeMs: bounds.keepalive.timeoutMs * 0.9,
    withinMs: bounds.keepalive.withinMs,
    scene: () => silent({ proxied: true }),
    fault: ({ proxy }) => proxy.blackhole(),
    reason: /relay channel dropped/,
    alsoLogged: "connection.dead",
  },
  {
    backstop: "keepalive",
    name: "a path that swallows the answers only",
    notBeforeMs: bounds.keepalive.timeoutMs * 0.9,
    withinMs: bounds.keepalive.withinMs,
    scene: () => silent({ proxied: true }),
    fault: ({ proxy }) => proxy.blackhole("up"),
    reason: /relay channel dropped/,
    alsoLogged: "connection.dead",
  },
  {
    backstop: "heartbeat",
    name: "a supervisor that makes no progress, while HTTP/2 and SSH answer",
    notBeforeMs: bounds.heartbeat.intervalMs * (bounds.heartbeat.missed - 1) * 0.9,
    withinMs: bounds.heartbeat.withinMs,
    scene: () => silent(),
    fault: ({ puppet }) => puppet.stopHeartbeats(),
    reason: /no heartbeat within 900 ms/,
  },
  {
    backstop: "sshKeepalive",
    name: "an SSH server that answers nothing, while its session lives",
    notBeforeMs: bounds.sshKeepalive.intervalMs * (bounds.sshKeepalive.missed - 1) * 0.9,
    withinMs: bounds.sshKeepalive.withinMs,
    scene: () => ({
      options: { exec: wedgesAfter("ready") },
      running: (run) => run.received("ready"),
    }),
    fault: () => {},
    reason: /ssh keepalive unanswered/,
  },
  {
    backstop: "fanout",
    name: "a session that ended, while its relay's stream stays open and silent",
    notBeforeMs: 0,
    withinMs: 0,
    scene: () => silent(),
    fault: ({ puppet }) => puppet.endSession(),
    reason: /supervisor ended its session/,
  },
];

const clients = new Map<Deployment, OpenShellClient>();
const gateways = new Map<Backstop, Deployment>();
let unwatched: Deployment;

beforeAll(async () => {
  const names = [...new Set<Backstop>([...rows.map(({ backstop }) => backstop), "postExit"])];
  const started = Promise.all(names.map(gatewayWithOnly));
  unwatched = await gatewayWithoutBackstops();
  for (const [at, gateway] of (await started).entries()) gateways.set(names[at]!, gateway);
  for (const gateway of [...gateways.values(), unwatched]) clients.set(gateway, gateway.client());
});
afterAll(() =>
  Promise.all([...gateways.values(), unwatched].map((one) => one[Symbol.asyncDispose]())),
);

async function provoke(row: Row, gateway: Deployment): Promise<Faulty & AsyncDisposable> {
  const { options, running } = row.scene();
  const scene = await startScene(gateway, options);
  const run = scene.exec(clients.get(gateway)!);
  await running(run, scene);
  const faultAtMs = performance.now();
  row.fault(scene);
  return { scene, run, faultAtMs, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
}

describe.concurrent.each(rows)("$name", (row) => {
  const forMs = 3 * Math.max(row.withinMs, 500);

  it(`ends the exec within the bound of its backstop, ${row.backstop}`, async () => {
    const gateway = gateways.get(row.backstop)!;
    await using faulty = await provoke(row, gateway);
    const { result, tookMs } = await timeToEnd(faulty.run, faulty.faultAtMs);
    expectError(result, {
      code: Code.Unavailable,
      message: "exec relay closed before the command reported an exit status",
      kind: "relay_lost",
      outcome: "unknown",
      retry: "follow",
    });
    expect(tookMs).toBeGreaterThanOrEqual(row.notBeforeMs);
    expect(tookMs).toBeLessThan(row.withinMs + slackMs);
    const { execId } = result.detail!;
    const failed = await gateway.gateway.waitForEvent("exec.failed", {
      where: (fields) => fields["execId"] === execId,
    });
    expect(failed.text).toMatch(row.reason);
    if (row.alsoLogged !== undefined) await gateway.gateway.waitForEvent(row.alsoLogged);
  });

  it(`leaves the exec parked without it`, async () => {
    await using faulty = await provoke(row, unwatched);
    await expectParked(faulty.run, forMs);
  });
});

describe.concurrent("a channel that is never closed after its exit status", () => {
  const exec = exitsButNeverCloses(5, "all of it");

  it("ends with the exit and all output within the post-exit wait", async () => {
    const gateway = gateways.get("postExit")!;
    await using scene = await startScene(gateway, { exec });
    const run = scene.exec(clients.get(gateway)!);
    await run.received("all of it");
    const { result, tookMs } = await timeToEnd(run);
    expectExit(result, 5, "all of it");
    expect(result.exit).toMatchObject({ reason: "exited", outputIncomplete: true });
    expect(result.tookMs).toBeGreaterThanOrEqual(bounds.postExit.quietMs * 0.9);
    expect(tookMs).toBeLessThan(bounds.postExit.withinMs + slackMs);
  });

  it("leaves the exec parked without that wait", async () => {
    await using scene = await startScene(unwatched, { exec });
    const run = scene.exec(clients.get(unwatched)!);
    await run.received("all of it");
    await expectParked(run, 3 * bounds.postExit.withinMs);
  });
});

describe.concurrent.each(["fin", "rst"] as const)("a connection cut with %s", (how) => {
  it("ends the exec at once, with every backstop off", async () => {
    await using scene = await startScene(unwatched, { proxied: true, exec: staysSilent() });
    const run = scene.exec(clients.get(unwatched)!);
    await scene.running();
    const cutAtMs = performance.now();
    scene.proxy.cut(how);
    const { result, tookMs } = await timeToEnd(run, cutAtMs);
    expectError(result, {
      code: Code.Unavailable,
      message: "exec relay closed before the command reported an exit status",
      kind: "relay_lost",
      outcome: "unknown",
      retry: "follow",
    });
    expect(tookMs).toBeLessThan(atOnceMs);
  });
});

describe.concurrent("silence", () => {
  it.each([...new Set(rows.map(({ backstop }) => backstop))])(
    "is not death: an exec that says nothing for three times the bound of %s ends well",
    async (backstop) => {
      const gateway = gateways.get(backstop)!;
      const held = new HeldExecs();
      await using scene = await startScene(gateway, { proxied: true, exec: held.script });
      const run = scene.exec(clients.get(gateway)!);
      const exec = await held.started();
      await expectParked(run, 3_000);
      finish(exec, 4);
      expectExit(await run.result, 4, "");
    },
  );
});
