import ssh2 from "ssh2";
import type { Client, ClientChannel } from "ssh2";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  closesWithoutStatus,
  endsBySignal,
  endsRelayAfter,
  exits,
  exitsButNeverCloses,
  ignoresExec,
  refusesExec,
  staysSilent,
  wedgesAfter,
} from "../../src/puppet-ssh.ts";
import type { ExecBehaviour } from "../../src/puppet-ssh.ts";
import {
  claimsAndSwallows,
  claimsInstead,
  claimsTwice,
  ignores,
  opensWith,
  refuses,
  reportsButNeverClaims,
  serves,
} from "../../src/puppet-relays.ts";
import { Code } from "@connectrpc/connect";
import { startPuppet } from "../../src/puppet-supervisor.ts";
import { poll, sleepMs, within } from "../../src/wait.ts";
import { TinyGateway } from "./tiny-gateway.ts";

interface Scene extends AsyncDisposable {
  gateway: TinyGateway;
  puppet: Awaited<ReturnType<typeof startPuppet>>;
}

async function scene(options: Partial<Parameters<typeof startPuppet>[0]> = {}): Promise<Scene> {
  const gateway = await new TinyGateway().listen();
  const puppet = await startPuppet({ url: gateway.url, token: "t", sandboxId: "box", ...options });
  return {
    gateway,
    puppet,
    async [Symbol.asyncDispose]() {
      await puppet[Symbol.asyncDispose]();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

/** Opens relay "c1", an SSH connection on it and one exec, and tells the events of the channel in order. */
async function execOn(
  gateway: TinyGateway,
): Promise<{ ssh: Client; seen: string[]; channel: ClientChannel }> {
  gateway.openRelay("c1");
  const [relay] = await poll("the claim", () => gateway.relays.get("c1"));
  const ssh = new ssh2.Client();
  ssh.on("error", () => {});
  const ready = once(ssh, "ready");
  ssh.connect({ sock: relay!, username: "sandbox", keepaliveInterval: 0 });
  await within("ssh ready", 5_000, ready);
  const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
  ssh.exec("the command", { env: { KEY: "value" } }, (error, channel) =>
    error ? reject(error) : resolve(channel),
  );
  const channel = await promise;
  const seen: string[] = [];
  channel.on("data", (data: Buffer) => seen.push(`stdout ${data.toString()}`));
  channel.stderr.on("data", (data: Buffer) => seen.push(`stderr ${data.toString()}`));
  channel.on("exit", (code: number | null, signal?: string) => seen.push(`exit ${code} ${signal}`));
  channel.on("end", () => seen.push("end"));
  channel.on("close", () => seen.push("close"));
  return { ssh, seen, channel };
}

describe("the session of a puppet", () => {
  it("says hello, is accepted, and sends heartbeats as told", async () => {
    await using both = await scene({ features: ["f"], instanceId: "i1" });
    const { gateway, puppet } = both;
    expect(puppet.sessionId).toBe("session-1");
    expect(gateway.said[0]?.payload).toMatchObject({
      case: "hello",
      value: { sandboxId: "box", instanceId: "i1", features: ["f"] },
    });
    await poll("three heartbeats", () => gateway.said.length >= 4);
    puppet.stopHeartbeats();
    const now = gateway.said.length;
    await sleepMs(100);
    expect(gateway.said.length).toBeLessThanOrEqual(now + 1);
    expect(puppet.over).toBe(false);
  });

  it("never sends a heartbeat when told so", async () => {
    await using both = await scene({ heartbeats: false });
    await sleepMs(100);
    expect(both.gateway.said.map(({ payload }) => payload.case)).toEqual(["hello"]);
  });
});

describe("a relay of a puppet", () => {
  it.each([
    ["ignores", ignores(), []],
    [
      "reports and never claims",
      reportsButNeverClaims(),
      [{ channelId: "c1", success: true, error: "" }],
    ],
    ["refuses", refuses("no room"), [{ channelId: "c1", success: false, error: "no room" }]],
  ])("%s", async (_name, relays, results) => {
    await using both = await scene({ relays, heartbeats: false });
    both.gateway.openRelay("c1");
    await both.puppet.opened();
    await sleepMs(50);
    expect(both.gateway.said.slice(1).map(({ payload }) => payload.value)).toMatchObject(results);
    expect(both.gateway.relays.size).toBe(0);
  });

  it("claims twice, and claims another channel", async () => {
    await using both = await scene({ relays: claimsTwice(exits(0)) });
    both.gateway.openRelay("c1");
    await expect.poll(() => both.gateway.relays.get("c1")?.length).toBe(2);
    both.puppet.relays = claimsInstead("someone-else's");
    both.gateway.openRelay("c2");
    await expect.poll(() => [...both.gateway.relays.keys()]).toEqual(["c1", "someone-else's"]);
  });

  it.each(["data", "nothing"] as const)("opens with %s", async (first) => {
    await using both = await scene({ relays: opensWith(first) });
    both.gateway.openRelay("c1");
    const relay = await both.puppet.waitFor("the claim", () => both.puppet.claims[0]);
    expect(await relay.ended).toMatchObject({ code: Code.InvalidArgument });
    expect(both.gateway.firstFrames).toMatchObject(
      first === "data" ? [{ payload: { case: "data" } }] : [],
    );
  });

  it("opens with an empty channel id", async () => {
    await using both = await scene({ relays: opensWith("empty-channel-id") });
    both.gateway.openRelay("c1");
    await expect.poll(() => [...both.gateway.relays.keys()]).toEqual([""]);
  });

  it("swallows what comes and says nothing", async () => {
    await using both = await scene({ relays: claimsAndSwallows() });
    both.gateway.openRelay("c1");
    const [relay] = await poll("the claim", () => both.gateway.relays.get("c1"));
    const heard: Buffer[] = [];
    relay!.on("data", (data: Buffer) => heard.push(data));
    relay!.write(Buffer.alloc(1_000_000));
    await poll("the bytes", () => both.puppet.claims[0]?.receivedBytes === 1_000_000);
    expect(heard).toEqual([]);
    expect(relay!.destroyed).toBe(false);
  });
});

describe("an exec on a puppet", () => {
  it.each<[string, ExecBehaviour, string[]]>([
    [
      "exits",
      exits(3, "out", "err"),
      ["stderr err", "stdout out", "exit 3 undefined", "end", "close"],
    ],
    ["exits without output", exits(0), ["exit 0 undefined", "end", "close"]],
    ["closes without status", closesWithoutStatus("out"), ["stdout out", "end", "close"]],
    [
      "ends by a signal",
      endsBySignal("KILL", "out"),
      ["stdout out", "exit null SIGKILL", "end", "close"],
    ],
  ])("%s", async (_name, behaviour, events) => {
    await using both = await scene({ relays: serves(behaviour) });
    const { ssh, seen, channel } = await execOn(both.gateway);
    if (!seen.includes("close")) await within("close", 5_000, once(channel, "close"));
    expect(seen).toEqual(events);
    expect(both.puppet.execs).toMatchObject([
      { command: "the command", environment: { KEY: "value" }, pty: false },
    ]);
    ssh.end();
  });

  it("exits and never closes", async () => {
    await using both = await scene({ relays: serves(exitsButNeverCloses(5, "out")) });
    const { ssh, seen } = await execOn(both.gateway);
    await poll("the exit", () => seen.length >= 2);
    await sleepMs(100);
    expect(seen).toEqual(["stdout out", "exit 5 undefined"]);
    ssh.destroy();
  });

  it("wedges after its output: no SSH keepalive is answered, the session lives on", async () => {
    await using both = await scene({ relays: serves(wedgesAfter("out")) });
    const { ssh, seen, channel } = await execOn(both.gateway);
    await poll("the output", () => seen.length >= 1);
    channel.write("are you there?");
    const beats = both.gateway.said.length;
    await poll("more heartbeats", () => both.gateway.said.length > beats + 2);
    expect(seen).toEqual(["stdout out"]);
    ssh.destroy();
  });

  it("stays silent while SSH answers", async () => {
    await using both = await scene({ relays: serves(staysSilent()) });
    const { ssh, seen } = await execOn(both.gateway);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    ssh.exec("second", (error, channel) => resolve(error ?? channel));
    await within("a second channel", 5_000, promise);
    expect(seen).toEqual([]);
    ssh.destroy();
  });

  it("loses its relay after output", async () => {
    await using both = await scene({ relays: serves(endsRelayAfter("out")) });
    const { seen } = await execOn(both.gateway);
    await poll("the end", () => seen.includes("close"));
    expect(seen).toEqual(["stdout out", "end", "close"]);
  });

  it("refuses the request, or never answers it", async () => {
    await using both = await scene({ relays: serves(refusesExec) });
    await expect(execOn(both.gateway)).rejects.toThrow(/exec/i);
    await using other = await scene({ relays: serves(ignoresExec) });
    await expect(within("an answer", 200, execOn(other.gateway))).rejects.toThrow(
      "waited 200 ms for an answer",
    );
  });
});
