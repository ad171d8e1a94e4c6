import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { BelayError, toConnectError } from "@belay/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BelayChild } from "./support/child.ts";
import { lines } from "./support/programs.ts";
import { serve } from "./support/serve.ts";
import type { ServedGateway } from "./support/serve.ts";

let gateway: ServedGateway;
beforeEach(async () => void (gateway = await serve()));
afterEach(() => gateway[Symbol.asyncDispose]());

const belay = (...argv: string[]) => new BelayChild(argv, gateway);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

describe("belay exec", () => {
  it("gives output to its own, each to each, and exits with the command's code", async () => {
    await using child = belay("exec", "demo", "--", "exit", "7");
    expect(await child.ended()).toBe(7);
    expect(child.stdout.toString()).toBe("");
    expect(child.stderr).toBe("leaving\n");
  });

  it("gives all of a large output to a slow reader", async () => {
    await using child = new BelayChild(["exec", "demo", "--", "lines", "400000"], {
      url: gateway.url,
      read: false,
    });
    const pieces: Buffer[] = [];
    for await (const piece of child.process.stdout) {
      pieces.push(piece as Buffer);
      if (pieces.length % 8 === 0) await turn();
    }
    expect(await child.ended()).toBe(0);
    expect(Buffer.concat(pieces).equals(lines(400_000))).toBe(true);
  });

  it("passes on what is piped into it", async () => {
    await using child = belay("exec", "demo", "--", "cat");
    const input = lines(200_000);
    child.process.stdin.end(input);
    expect(await child.ended()).toBe(0);
    expect(child.stdout.equals(input)).toBe(true);
  });

  it("passes nothing on where it is told so, and does not wait for it", async () => {
    await using child = belay("exec", "-n", "demo", "--", "cat");
    expect(await child.ended()).toBe(0); // its input is still open
    expect(gateway.fake.lastExec.spec.stdin).toBe(false);
  });

  it("ends with the command although its own input does not", async () => {
    await using child = belay("exec", "demo", "--", "echo", "a");
    expect(await child.ended()).toBe(0);
    expect(gateway.fake.lastExec.spec.stdin).toBe(true);
  });

  it.each([
    ["late", 124, "belay: timed out; 2 processes ended\n"],
    ["killed", 137, "belay: ended by SIGKILL\n"],
  ])("exits after %s with %i", async (name, code, remark) => {
    await using child = belay("exec", "demo", "--", name);
    expect(await child.ended()).toBe(code);
    expect(child.stderr).toBe(remark);
  });

  it("survives a restart of the gateway", async () => {
    await using child = belay("exec", "demo", "--", "sleep");
    await until(() => gateway.fake.follows === 1);
    gateway.fake.lastExec.write("stdout", "before\n");
    await until(() => child.stdout.length > 0);
    await gateway.stop();
    gateway.fake.lastExec.write("stdout", "between\n");
    await gateway.restart();
    await until(() => child.stdout.length > 10);
    gateway.fake.lastExec.end({ exitCode: 5 });
    expect(await child.ended()).toBe(5);
    expect(child.stdout.toString()).toBe("before\nbetween\n");
    expect(gateway.fake.starts).toBe(1);
  });

  it("fails with 255 and what to do when the gateway refuses", async () => {
    await using child = belay("exec", "nowhere", "--", "echo");
    expect(await child.ended()).toBe(255);
    expect(child.stderr).toContain("belay: sandbox not found (sandbox_not_found)");
    expect(child.stderr).toContain("`belay sandboxes` lists");
  });
});

describe("a signal to belay exec", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s ends the command first, then itself with %i", async (signal, code) => {
    await using child = belay("exec", "demo", "--", "sleep");
    await until(() => gateway.fake.follows === 1);
    child.process.kill(signal);
    expect(await child.ended()).toBe(code);
    expect(gateway.fake.lastExec.exit).toMatchObject({ reason: "canceled" });
    expect(child.stderr).toContain(`${signal}: ending the command`);
  });

  it("that comes twice is not kept waiting", async () => {
    gateway.fake.faults = { hang: new Set(["cancelExec"]) };
    await using child = belay("exec", "demo", "--", "sleep");
    await until(() => gateway.fake.follows === 1);
    child.process.kill("SIGINT");
    await until(() => child.stderr.includes("once more leaves at once"));
    child.process.kill("SIGINT");
    expect(await child.ended()).toBe(130);
    expect(gateway.fake.lastExec.exit).toBeUndefined();
  });

  it("says that the command may still run when nobody confirms its end", async () => {
    const refused = toConnectError(new BelayError("permission_denied", "not yours"));
    gateway.fake.faults = { before: (name) => (name === "cancelExec" ? refused : undefined) };
    await using child = belay("exec", "--id", "e", "demo", "--", "sleep");
    await until(() => gateway.fake.follows === 1);
    child.process.kill("SIGTERM");
    expect(await child.ended()).toBe(255);
    expect(child.stderr).toContain("exec e may still run (termination_unconfirmed)");
    expect(child.stderr).toContain("`belay cancel sandbox-1 e` asks again");
  });
});

describe("a reader that goes away", () => {
  it("ends the command, and belay without a word", async () => {
    await using child = new BelayChild(["exec", "demo", "--", "flood"], {
      url: gateway.url,
      read: false,
    });
    await once(child.process.stdout, "readable");
    child.process.stdout.destroy();
    expect(await child.ended()).toBe(141);
    expect(child.stderr).toBe("");
    expect(gateway.fake.lastExec.exit).toMatchObject({ reason: "canceled" });
  });
});

describe("belay start and follow", () => {
  it("leave the command running when they go, and find it again", async () => {
    await using start = belay("start", "demo", "--", "sleep");
    expect(await start.ended()).toBe(0);
    const execId = start.stdout.toString().trim();
    await using first = belay("follow", "demo", execId);
    await until(() => gateway.fake.follows === 1);
    first.process.kill("SIGINT");
    expect(await first.ended()).toBe(130);
    expect(first.stderr).toContain("the exec goes on");
    expect(gateway.fake.lastExec.exit).toBeUndefined();

    await using second = belay("follow", "demo", execId);
    gateway.fake.lastExec.write("stdout", "there\n");
    gateway.fake.lastExec.end({ exitCode: 9 });
    expect(await second.ended()).toBe(9);
    expect(second.stdout.toString()).toBe("there\n");
  });
});
