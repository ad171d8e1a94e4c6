// After three hundred execs with every kind of end, both programs hold what they held before: descriptors, relays, execs, processes.
import { readdir, readFile, readlink } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BelayProcess } from "../../src/belay-process.ts";
import { openshellClient } from "../../src/client.ts";
import type { OpenShellClient } from "../../src/client.ts";
import { startDeployment } from "../../src/deployment.ts";
import type { Deployment } from "../../src/deployment.ts";
import { poll } from "../../src/wait.ts";
import { expectExit } from "../support/expect-exec.ts";
import { flags } from "../support/flags.ts";
import { metric } from "../support/metrics.ts";
import { shell, ShellExec } from "../support/shell-exec.ts";
import { untilReconnected } from "../support/faulty-path.ts";

const execs = 300;
const atOnce = 15;

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({
    gatewayArgs: flags({ "termination-grace-ms": 300, "connection-idle-ms": 200 }),
    supervisorArgs: flags({
      "termination-grace-ms": 300,
      "orphan-window-ms": 0,
      "reconnect-max-ms": 200,
      "exit-quiet-ms": 50,
    }),
  });
});
afterAll(() => deployment[Symbol.asyncDispose]());

/** Open descriptors by kind: sockets, ends of pipes, and so on, whatever their numbers. */
async function descriptors({ pid }: BelayProcess): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "gone");
    if (target === "gone") continue;
    let kind = target.replace(/:\[\d+\]$/, "").replace(/^\/dev\/pts\/\d+$/, "terminal");
    if (kind === "pipe" && (await isBothEnds(pid, fd))) kind = pooled;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/** A supervisor's pipes that wait for an exec are open for both ends; those of an exec for one. */
async function isBothEnds(pid: number, fd: string): Promise<boolean> {
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8").catch(() => "");
  return /^flags:\s+\d*2$/m.test(info);
}

const pooled = "pooled pipe";
/** A batch of 63 is made when half of one is used up. */
const maxPooled = 63 + 31;

type Kind = (client: OpenShellClient) => Promise<void>;

function runs(script: string, request = {}, check?: number): Kind {
  return async (client) => {
    const result = await shell(client, deployment.supervisor(), script, { request, keep: false });
    if (check !== undefined) expectExit(result, check);
  };
}

function canceled(script: string): Kind {
  return async (client) => {
    await using exec = new ShellExec(client, deployment.supervisor(), script);
    await exec.ready();
    exec.run.cancel();
    await exec.noneLeft();
  };
}

const kinds: Kind[] = [
  runs("exit 0", {}, 0),
  runs("exit 3", {}, 3),
  runs("kill -9 $$", {}, 137),
  runs("seq 1 30000; seq 1 30000 >&2", {}, 0),
  runs("head -1 >/dev/null; exit 5", { stdin: Buffer.alloc(400_000, "line\n") }, 5),
  runs("stty size; exit 6", { tty: true }, 6),
  runs("no-such-program", {}, 127),
  runs("exit 0", { workdir: "/no/such/folder" }, 126),
  runs("exit 0", { environment: { "not a name": "x" } }),
  runs("sleep 20 & exit 0", {}, 0),
  runs("sleep 300", { timeoutSeconds: 1 }, 124),
  canceled("echo ready; sleep 300"),
  canceled("echo ready; while :; do echo more; done"),
  canceled("trap '' TERM; echo ready; setsid sleep 300 & wait"),
  runs("stty -echo; cat", { tty: true, stdin: Buffer.from("some input\n") }, 0),
];

async function runMany(count: number): Promise<void> {
  using client = openshellClient(deployment.gatewayUrl);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await kinds[next++ % kinds.length]!(client);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function gaugesAtBase(): Promise<void> {
  const gauges = ["belay_execs_running", "belay_relays"];
  await poll("the gauges to be back at 0", async () => {
    const values = await Promise.all(gauges.map((name) => metric(deployment, name)));
    return values.every((value) => value === 0);
  });
  expect(await metric(deployment, "belay_sessions")).toBe(1);
}

interface Held {
  gateway: Record<string, number>;
  supervisor: Record<string, number>;
}

async function held(): Promise<Held> {
  return {
    gateway: await descriptors(deployment.gateway),
    supervisor: await descriptors(deployment.supervisor().process),
  };
}

/** No more of any kind than before; fewer are fine, when a connection of ours was still closing then. */
function isNoMore(now: Record<string, number>, base: Record<string, number>): boolean {
  return Object.entries(now).every(([kind, count]) => count <= (base[kind] ?? 0));
}

async function expectBackAt({ gateway, supervisor }: Held): Promise<void> {
  let now = await held();
  const withPool = { ...supervisor, [pooled]: maxPooled };
  const isBack = async (): Promise<boolean> => {
    now = await held();
    return isNoMore(now.gateway, gateway) && isNoMore(now.supervisor, withPool);
  };
  const before = JSON.stringify({ gateway, supervisor });
  const detail = () => `before: ${before}\nnow:    ${JSON.stringify(now)}`;
  await poll("descriptors to be back at base", isBack, { detail });
}

describe("after three hundred execs with mixed ends", () => {
  it("both programs hold what they held before, and no process is left", async () => {
    await runMany(kinds.length); // what is loaded and opened once, is open now
    await gaugesAtBase();
    const base = await held();
    await runMany(execs);
    await gaugesAtBase();
    await expectBackAt(base);
    using client = openshellClient(deployment.gatewayUrl);
    const { stdout } = await shell(client, deployment.supervisor(), `ps -o pid= --ppid $PPID`);
    expect(stdout.toString().trim().split("\n"), "children of the supervisor").toHaveLength(1);
  }, 60_000);

  it("and no more after ten resets under running execs", async () => {
    using client = openshellClient(deployment.gatewayUrl);
    const supervisor = deployment.supervisor();
    expectExit(await shell(client, supervisor, "exit 0"), 0);
    const base = await held();
    for (let round = 0; round < 10; round++) {
      const scripts = Array.from({ length: 5 }, () => "echo ready; sleep 300");
      const running = scripts.map((script) => new ShellExec(client, supervisor, script));
      await Promise.all(running.map((exec) => exec.ready()));
      await untilReconnected(supervisor, () => supervisor.faults.cut(round % 2 ? "rst" : "fin"));
      await Promise.all(running.map((exec) => exec.noneLeft()));
    }
    await gaugesAtBase();
    await expectBackAt(base);
  });
});
