// supervisor.test.ts: the whole supervisor against a scripted gateway: relays, breaks, and its stop.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tmpdir } from "node:os";
import ssh2 from "ssh2";
import { SSH_CLIENT_SERVICE, SUPERVISOR_FEATURES } from "@belay/protocol";
import { inheritedEnvironment } from "../src/execs/exec-environment.ts";
import { defaultLimits } from "../src/limits.ts";
import type { SupervisorLimits } from "../src/limits.ts";
import { Supervisor } from "../src/supervisor.ts";
import { SshExecClient } from "./support/exec-bench.ts";
import { Plane } from "./support/plane.ts";
import type { PlaneSession } from "./support/plane.ts";
import { pidsOf, uniqueSleep } from "./support/processes.ts";
import { RecordingLog } from "./support/recording-log.ts";
import { until } from "./support/until.ts";

let plane: Plane;
let log: RecordingLog;
let draining: AbortController;
let now: AbortController;
let over: Promise<void>;
let nextChannel = 0;

beforeEach(async () => {
  log = new RecordingLog();
  draining = new AbortController();
  now = new AbortController();
  plane = await Plane.start((session, index) => session.accept(`session-${index + 1}`));
});

afterEach(async () => {
  draining.abort();
  now.abort();
  await over;
  await plane[Symbol.asyncDispose]();
});

function start(limits: Partial<SupervisorLimits> = {}): void {
  const supervisor = new Supervisor(
    {
      gateway: plane.url,
      token: { is: "value", token: "token" },
      tls: { ca: undefined, cert: undefined, key: undefined },
      sandboxId: "box-1",
      version: "0.0.0",
      shell: "/bin/sh",
      features: SUPERVISOR_FEATURES,
      runtimeDir: tmpdir(),
      environment: inheritedEnvironment({ PATH: process.env["PATH"] }),
      execCgroups: "off",
      limits: {
        ...defaultLimits,
        reconnect: { minMs: 10, maxMs: 100 },
        terminationGraceMs: 200,
        drainTimeoutMs: 200,
        ...limits,
      },
    },
    { log, stop: { draining: draining.signal, now: now.signal } },
  );
  over = supervisor.run();
}

async function openRelay(
  session: PlaneSession,
  serviceId = "",
): Promise<{ client: SshExecClient; id: string }> {
  const id = `channel-${(nextChannel += 1)}`;
  session.send({
    case: "relayOpen",
    value: { channelId: id, target: { case: "ssh", value: {} }, serviceId },
  });
  const pipe = await plane.relay(id);
  const client = new ssh2.Client();
  client.on("error", () => {});
  client.connect({ sock: pipe, username: "sandbox", keepaliveInterval: 0 });
  await new Promise<void>((resolve) => client.once("ready", () => resolve()));
  return { client: new SshExecClient(client, { client: pipe, server: pipe }), id };
}

const results = (session: PlaneSession) =>
  session.received.flatMap((payload) =>
    payload.case === "relayOpenResult" ? [payload.value] : [],
  );

async function refusalOf(session: PlaneSession, id: string): Promise<string> {
  const found = await until(`the answer to ${id}`, () =>
    results(session).find(({ channelId }) => channelId === id),
  );
  expect(found.success).toBe(false);
  return found.error;
}

async function running(client: SshExecClient) {
  const mark = uniqueSleep();
  const exec = await client.exec(`trap '' TERM; sleep ${mark} & sleep ${mark}`);
  const live = () => pidsOf(`sleep\0${mark}\0`);
  await until("it runs", () => live().length === 2);
  return { exec, finished: exec.finished(), live };
}

describe("a relay", () => {
  it("is opened, answered, and carries an exec", async () => {
    start();
    const session = await plane.session(0);
    const { client, id } = await openRelay(session);
    expect(results(session)).toMatchObject([{ channelId: id, success: true }]);
    const exec = await client.exec("cat; echo err >&2; exit 3");
    exec.channel.end("input");
    const end = await exec.finished();
    expect(end).toMatchObject({ code: 3, eof: true });
    expect(end.stdout.toString()).toBe("input");
    expect(end.stderr.toString()).toBe("err\n");
  });

  it.each([
    ["takes every variable of the gateway", "", "asked"],
    ["ignores most variables of a person's SSH client", SSH_CLIENT_SERVICE, ""],
  ])("%s", async (_name, serviceId, value) => {
    start();
    const { client } = await openRelay(await plane.session(0), serviceId);
    const exec = await client.exec("echo $VARIABLE", { env: { VARIABLE: "asked" } as never });
    expect((await exec.finished()).stdout.toString()).toBe(`${value}\n`);
  });

  it("without a name is refused", async () => {
    start();
    const session = await plane.session(0);
    session.send({ case: "relayOpen", value: { channelId: "" } });
    expect(await refusalOf(session, "")).toBe("channel_id is required");
  });

  it("beyond the limit is refused", async () => {
    start({ execs: 1 });
    const session = await plane.session(0);
    await openRelay(session);
    session.send({ case: "relayOpen", value: { channelId: "second" } });
    expect(await refusalOf(session, "second")).toBe("too many relays");
  });

  it("that the gateway closes cancels its exec", async () => {
    start();
    const session = await plane.session(0);
    const { client, id } = await openRelay(session);
    const { live } = await running(client);
    session.send({ case: "relayClose", value: { channelId: id, reason: "test" } });
    await until("all have ended", () => live().length === 0);
    expect(log.events("exec.terminating")[0]?.fields).toMatchObject({ reason: "canceled" });
  });

  it("breaks with its session: the command runs on, for the orphan window", async () => {
    start({ orphanWindowMs: 300 });
    const { client } = await openRelay(await plane.session(0));
    const { live } = await running(client);
    plane.cutAll();
    await plane.session(1);
    expect(live()).toHaveLength(2);
    await until("all have ended", () => live().length === 0);
    expect(log.events("exec.terminating")[0]?.fields).toMatchObject({ reason: "orphaned" });
    // And the next session works.
    const { client: next } = await openRelay(await plane.session(1));
    const exec = await next.exec("exit 5");
    await expect(exec.finished()).resolves.toMatchObject({ code: 5 });
  });
});

describe("a start", () => {
  it("says by what the processes of an exec are found", () => {
    start();
    expect(log.events("processes.tracking").map(({ fields }) => fields)).toEqual([
      { by: "marker" },
    ]);
  });
});

describe("a stop", () => {
  it("lets what runs finish, opens nothing new, and ends the session in order", async () => {
    start({ drainTimeoutMs: 5_000 });
    const session = await plane.session(0);
    const { client } = await openRelay(session);
    const exec = await client.exec("read -r _; exit 3");
    const finished = exec.finished();
    draining.abort();
    session.send({ case: "relayOpen", value: { channelId: "late" } });
    expect(await refusalOf(session, "late")).toBe("supervisor is stopping");
    exec.channel.end("go\n");
    await expect(finished).resolves.toMatchObject({ code: 3, eof: true });
    client.client.end(); // as a gateway does after an exit
    client.pair.client.end();
    await over;
    expect(session.received.some((payload) => payload.case === "relayClose")).toBe(false);
  });

  it("ends what does not finish, says why, and reports no exit", async () => {
    start();
    const session = await plane.session(0);
    const { client, id } = await openRelay(session);
    const { finished, live } = await running(client);
    draining.abort();
    await over;
    expect(live()).toEqual([]);
    await expect(session.message("relayClose")).resolves.toMatchObject({
      channelId: id,
      reason: "supervisor is stopping",
    });
    await expect(finished).resolves.toMatchObject({ code: undefined, signal: undefined });
  });

  it("for the second time kills at once", async () => {
    start({ drainTimeoutMs: 60_000 });
    const { client } = await openRelay(await plane.session(0));
    const { live } = await running(client);
    draining.abort();
    now.abort();
    await over;
    expect(await until("all have ended", () => live().length === 0, 1_000)).toBe(true);
  });

  it("comes to its end without a gateway, too", async () => {
    start();
    await plane.session(0);
    await plane[Symbol.asyncDispose]();
    draining.abort();
    await expect(over).resolves.toBeUndefined();
  });
});
