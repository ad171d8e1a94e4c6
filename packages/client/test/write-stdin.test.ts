import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { lost } from "../src/testing/index.ts";
import type { FakeExec } from "../src/testing/index.ts";
import { numbers, scene } from "./support/scene.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Prints the hash of its input at the input's end. */
const sum = (exec: FakeExec) => {
  void (async () => {
    while (!exec.stdinEnded && !exec.exit) await exec.nextChange();
    exec.write("stdout", createHash("sha256").update(exec.stdin).digest("hex"));
    exec.end();
  })();
};
const sleep = () => {};

describe("input", () => {
  it.each([
    ["a text", "héllo"],
    ["bytes", new TextEncoder().encode("héllo")],
    ["pieces", ["hé", "llo"]],
    [
      "pieces that come later",
      (async function* () {
        yield "hé";
        await turn();
        yield new TextEncoder().encode("llo");
      })(),
    ],
  ])("may be %s", async (_name, stdin) => {
    const { client, gateway } = scene({ sum });
    await client.exec("demo", ["sum"], { stdin });
    expect(text(gateway.lastExec.stdin)).toBe("héllo");
    expect(gateway.lastExec.spec.stdin).toBe(true);
  });

  it("of 5 MB arrives once over calls that fail before and after their work", async () => {
    const { client, gateway } = scene({ sum });
    let calls = 0;
    gateway.faults = {
      before: (name) => (name === "writeStdin" && ++calls % 4 === 1 ? lost() : undefined),
      after: (name) => (name === "writeStdin" && calls % 4 === 3 ? lost() : undefined),
    };
    const input = Buffer.from(numbers(5_000_000));
    const { stdout, verified } = await client.exec("demo", ["sum"], { stdin: input });
    expect(text(stdout)).toBe(createHash("sha256").update(input).digest("hex"));
    expect(gateway.lastExec.stdinOffset).toBe(5_000_000);
    expect(verified).toBe(true);
    expect(calls).toBeGreaterThan(30);
  });

  it("waits for a process that does not read, and goes on where it stopped", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { stdin: true });
    const fake = gateway.lastExec;
    fake.stdinRoom = 3;
    let calls = 0;
    gateway.faults = { before: (name) => void (name === "writeStdin" && (calls += 1)) };
    const written = exec.writeStdin("0123456789");
    while (calls < 4) await turn();
    expect(text(fake.stdin)).toBe("012");
    fake.stdinRoom = Infinity;
    expect(await written).toEqual({ offset: 10, closed: false });
    expect(text(fake.stdin)).toBe("0123456789");
    expect(fake.stdinEnded).toBe(true);
  });

  it("goes on in a second call, and ends only when told", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { stdin: true });
    await exec.writeStdin("ab", { end: false });
    expect(gateway.lastExec.stdinEnded).toBe(false);
    await exec.writeStdin("cd", { end: false });
    // Another client, which has to ask how far the input is.
    await client.attach(exec.sandboxId, exec.execId).writeStdin("ef");
    expect(text(gateway.lastExec.stdin)).toBe("abcdef");
    expect(gateway.lastExec.stdinEnded).toBe(true);
  });

  it("stops when the process reads no more", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { stdin: true });
    gateway.lastExec.stdinClosed = true;
    let asked = 0;
    async function* endless() {
      for (;;) {
        asked += 1;
        yield "y\n";
        await turn();
      }
    }
    expect(await exec.writeStdin(endless())).toEqual({ offset: 0, closed: true });
    expect(asked).toBe(1);
  });

  it("stops when the exec has ended", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { stdin: true });
    gateway.lastExec.end();
    expect(await exec.writeStdin("late")).toEqual({ offset: 0, closed: true });
  });

  it("that never ends does not hold the exec's end back", async () => {
    const { client, gateway } = scene({ sleep });
    let returned = false;
    const stdin: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: () => {
          returned = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    const result = client.exec("demo", ["sleep"], { stdin });
    while (gateway.follows === 0) await turn();
    gateway.lastExec.end({ exitCode: 4 });
    expect((await result).exit.exitCode).toBe(4);
    expect(returned).toBe(true);
  });

  it("that fails cancels the exec, and is the error", async () => {
    const { client, gateway } = scene({ sleep });
    async function* broken() {
      yield "a";
      await turn();
      throw new Error("disk full");
    }
    await expect(client.exec("demo", ["sleep"], { stdin: broken() })).rejects.toThrow("disk full");
    expect(gateway.lastExec.exit).toMatchObject({ reason: "canceled" });
  });

  it("is refused while another is being written", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { stdin: true });
    gateway.lastExec.stdinRoom = 0;
    const abort = new AbortController();
    const first = exec.writeStdin("a", { signal: abort.signal });
    await expect(exec.writeStdin("b")).rejects.toMatchObject({ kind: "invalid_request" });
    abort.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");
  });
});
