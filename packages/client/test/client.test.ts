import { BelayError, toConnectError } from "@belay/protocol";
import { ManualClock } from "@belay/relay-core/testing";
import { describe, expect, it } from "vitest";
import { lost } from "../src/testing/index.ts";
import type { FakeExec } from "../src/testing/index.ts";
import { failureOf, numbers, receive, scene } from "./support/scene.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const echo = (exec: FakeExec) => {
  exec.write("stdout", `${exec.spec.command.slice(1).join(" ")}\n`);
  exec.write("stderr", "done\n");
  exec.end({ exitCode: 3 });
};
/** Ends when it is told to. */
const sleep = () => {};

/** Fails the first `times` calls. */
function fails(times: number, error = lost): () => Error | undefined {
  let left = times;
  return () => (left-- > 0 ? error() : undefined);
}

describe("exec", () => {
  it("collects both outputs and gives the exit, verified", async () => {
    const { client, gateway } = scene({ echo });
    const result = await client.exec("demo", ["echo", "hello", "world"], {
      workdir: "/tmp",
      environment: { A: "1" },
      timeoutMs: 5_000,
    });
    expect(text(result.stdout)).toBe("hello world\n");
    expect(text(result.stderr)).toBe("done\n");
    expect(result).toMatchObject({
      sandboxId: gateway.sandboxId,
      execId: gateway.lastExec.execId,
      exit: { reason: "exited", exitCode: 3 },
      verified: true,
    });
    expect(gateway.lastExec.spec).toMatchObject({
      workdir: "/tmp",
      environment: { A: "1" },
      timeoutMs: 5_000n,
      detached: false,
      stdin: false,
    });
  });

  it("takes a sandbox by name, by id, and by what is surely an id", async () => {
    const { client, gateway } = scene({ echo });
    const asked: string[] = [];
    gateway.faults = { before: (name) => void asked.push(name) };
    for (const sandbox of ["demo", "sandbox-1", { sandboxId: "sandbox-1" }]) {
      const { sandboxId } = await client.exec(sandbox, ["echo"]);
      expect(sandboxId).toBe("sandbox-1");
    }
    expect(asked.filter((name) => name === "getSandbox")).toHaveLength(2);
    await expect(client.exec("nowhere", ["echo"])).rejects.toMatchObject({
      kind: "sandbox_not_found",
      outcome: "not_started",
      retry: "never",
    });
  });

  it("starts once although the answer of the start is lost, again and again", async () => {
    const { client, gateway } = scene({ echo });
    const loses = fails(3);
    gateway.faults = { after: (name) => (name === "startExec" ? loses() : undefined) };
    const result = await client.exec("demo", ["echo", "once"]);
    expect(text(result.stdout)).toBe("once\n");
    expect(gateway.starts).toBe(1);
    const losesAgain = fails(3);
    gateway.faults = { after: (name) => (name === "startExec" ? losesAgain() : undefined) };
    await client.start("demo", ["echo", "once"]);
    expect(gateway.starts).toBe(2);
  });

  it("is not started again by another supervisor than the one that may have run it", async () => {
    const { client, gateway } = scene({ echo });
    const loses = fails(1);
    gateway.faults = {
      after(name) {
        const answer = name === "startExec" ? loses() : undefined;
        if (answer) gateway.replaceSupervisor();
        return answer;
      },
    };
    const started = client.start("demo", ["echo", "once"], { execId: "exec-7" });
    expect(await failureOf(started)).toMatchObject({
      kind: "exec_lost",
      outcome: "unknown",
      retry: "follow",
      ids: { execId: "exec-7" },
    });
    expect(gateway.starts).toBe(1);
  });

  it("is not started again either when the supervisor is replaced just after it was asked for", async () => {
    const { client, gateway } = scene({ echo });
    const loses = fails(1);
    gateway.faults = {
      after(name) {
        if (name === "getSupervisor") gateway.replaceSupervisor();
        return name === "startExec" ? loses() : undefined;
      },
    };
    const started = client.start("demo", ["echo", "once"]);
    expect(await failureOf(started)).toMatchObject({ kind: "exec_lost", outcome: "unknown" });
    expect(gateway.starts).toBe(1);
  });

  it("may be started by any supervisor as long as none has heard of it", async () => {
    const { client, gateway } = scene({ echo });
    const refuses = fails(2, () => toConnectError(new BelayError("session_lost", "not sent")));
    gateway.faults = {
      before(name) {
        const refused = name === "startExec" ? refuses() : undefined;
        if (refused) gateway.replaceSupervisor();
        return refused;
      },
    };
    await client.start("demo", ["echo", "once"]);
    expect(gateway.starts).toBe(1);
  });

  it("says that the command may have run when no start was answered, whatever the last try said", async () => {
    const clock = new ManualClock();
    const { client, gateway } = scene({ echo }, { clock });
    const loses = fails(1);
    gateway.faults = {
      after: (name) => (name === "startExec" ? loses() : undefined),
      before: (name) =>
        name === "startExec" && gateway.starts > 0
          ? toConnectError(new BelayError("session_wait_timeout", "no supervisor"))
          : undefined,
    };
    const failed = failureOf(
      client.exec({ sandboxId: "sandbox-1" }, ["echo"], { execId: "exec-7" }),
    );
    await clock.advance(20_000);
    expect(await failed).toMatchObject({
      kind: "session_wait_timeout",
      outcome: "unknown",
      retry: "follow",
      ids: { sandboxId: "sandbox-1", execId: "exec-7" },
    });
  });

  it("says that nothing ran when no start got through", async () => {
    const clock = new ManualClock();
    const { client, gateway } = scene({ echo }, { clock });
    gateway.faults = {
      before: () => toConnectError(new BelayError("session_wait_timeout", "no supervisor")),
    };
    const failed = failureOf(client.exec("demo", ["echo"]));
    await clock.advance(20_000);
    expect(await failed).toMatchObject({
      kind: "session_wait_timeout",
      outcome: "not_started",
      retry: "now",
    });
    expect(gateway.starts).toBe(0);
  });

  it("does not try again what will fail again", async () => {
    const { client, gateway } = scene({ sleep });
    let starts = 0;
    gateway.faults = { before: (name) => void (name === "startExec" && (starts += 1)) };
    await client.start("demo", ["sleep"], { execId: "a" });
    await expect(client.start("demo", ["other"], { execId: "a" })).rejects.toMatchObject({
      kind: "exec_conflict",
      retry: "never",
    });
    expect(starts).toBe(2);
  });

  it("cancels at more output than it may collect", async () => {
    const { client, gateway } = scene({
      talk: (exec) => exec.write("stdout", numbers(5_000)),
    });
    await expect(client.exec("demo", ["talk"], { maxOutputBytes: 4_999 })).rejects.toMatchObject({
      kind: "output_too_large",
      ids: { sandboxId: "sandbox-1" },
    });
    expect(gateway.lastExec.exit).toMatchObject({ reason: "canceled" });
  });

  it("gives as much output as it may collect", async () => {
    const { client } = scene({
      talk: (exec) => {
        exec.write("stdout", numbers(5_000));
        exec.end();
      },
    });
    const { stdout } = await client.exec("demo", ["talk"], { maxOutputBytes: 5_000 });
    expect(stdout.byteLength).toBe(5_000);
  });
});

describe("an abort", () => {
  it("cancels the exec and then fails with the signal's reason", async () => {
    const { client, gateway } = scene({ sleep });
    const abort = new AbortController();
    const result = client.exec("demo", ["sleep"], { signal: abort.signal });
    const failed = failureOf(result);
    while (gateway.follows === 0) await new Promise((resolve) => setImmediate(resolve));
    abort.abort(new Error("enough"));
    expect(await failed).toMatchObject({ message: "enough" });
    expect(gateway.lastExec.exit).toMatchObject({ reason: "canceled" });
  });

  it("takes back a start that was not answered yet: it cannot run later", async () => {
    const { client, gateway } = scene({ sleep });
    const abort = new AbortController();
    gateway.faults = {
      before: (name) => {
        if (name !== "startExec") return undefined;
        queueMicrotask(() => abort.abort(new Error("enough")));
        return lost();
      },
    };
    await expect(
      client.start("demo", ["sleep"], { execId: "a", signal: abort.signal }),
    ).rejects.toThrow("enough");
    gateway.faults = {};
    await expect(client.start("demo", ["sleep"], { execId: "a" })).rejects.toMatchObject({
      kind: "exec_fenced",
    });
    expect(gateway.starts).toBe(0);
  });

  it("says so, within a bound, when nobody confirms the cancel", async () => {
    const clock = new ManualClock();
    const { client, gateway } = scene({ sleep }, { clock, limits: { cancelMs: 1_000 } });
    gateway.faults = { before: (name) => (name === "cancelExec" ? lost() : undefined) };
    const abort = new AbortController();
    const failed = failureOf(client.exec("demo", ["sleep"], { execId: "a", signal: abort.signal }));
    while (gateway.follows === 0) await new Promise((resolve) => setImmediate(resolve));
    abort.abort(new Error("enough"));
    for (let n = 0; n < 3; n += 1) await clock.advance(500);
    expect(await failed).toMatchObject({
      kind: "termination_unconfirmed",
      outcome: "unknown",
      ids: { execId: "a" },
    });
  });

  it("of a stream: leaving the loop cancels the exec", async () => {
    const { client, gateway } = scene({ talk: (exec) => exec.write("stdout", "a") });
    for await (const event of client.stream("demo", ["talk"])) {
      expect(event).toMatchObject({ is: "output" });
      break;
    }
    expect(gateway.lastExec.exit).toMatchObject({ reason: "canceled" });
  });

  it("that came before the start starts nothing", async () => {
    const { client, gateway } = scene({ sleep });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(client.exec("demo", ["sleep"], { signal })).rejects.toThrow("enough");
    expect(gateway.starts).toBe(0);
  });
});

describe("a handle", () => {
  it("sends signals and sizes, waits, tells, and cancels", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"], { detached: true, terminal: { cols: 100 } });
    await exec.signal("HUP");
    await exec.resize(80, 25);
    expect(gateway.lastExec).toMatchObject({ signals: ["HUP"], sizes: ["80x25"] });
    expect(await exec.get()).toMatchObject({
      state: "running",
      command: ["sleep"],
      detached: true,
    });
    const waited = exec.wait();
    expect(await exec.cancel()).toMatchObject({ reason: "canceled", processesEnded: 1 });
    expect(await waited).toMatchObject({ reason: "canceled", signal: "TERM" });
    expect(await client.list("demo")).toMatchObject([{ execId: exec.execId, state: "ended" }]);
    await expect(exec.signal("HUP")).rejects.toMatchObject({ kind: "exec_ended" });
  });

  it("sends a signal again only when it certainly did not arrive", async () => {
    const { client, gateway } = scene({ sleep });
    const exec = await client.start("demo", ["sleep"]);
    const refuses = fails(2, () => toConnectError(new BelayError("relay_dropped", "no relay")));
    gateway.faults = { before: (name) => (name === "signalExec" ? refuses() : undefined) };
    await exec.signal("HUP");
    expect(gateway.lastExec.signals).toEqual(["HUP"]);
    const loses = fails(1);
    gateway.faults = { after: (name) => (name === "signalExec" ? loses() : undefined) };
    await expect(exec.signal("HUP")).rejects.toMatchObject({ outcome: "running", retry: "follow" });
    expect(gateway.lastExec.signals).toEqual(["HUP", "HUP"]);
  });

  it("attaches to an exec of another client", async () => {
    const { client, gateway } = scene({ echo });
    const { execId } = await client.start("demo", ["echo", "a"]);
    const other = client.attach(gateway.sandboxId, execId);
    expect(await receive(other.follow())).toMatchObject({ stdout: "a\n", stderr: "done\n" });
  });

  it("bounds a call that nobody answers", async () => {
    const clock = new ManualClock();
    const limits = { callMs: 1_000, startWindowMs: 2_000 };
    const { client, gateway } = scene({ sleep }, { clock, limits });
    gateway.faults = { hang: new Set(["getExec"]) };
    const failed = failureOf(client.attach("sandbox-1", "a").get());
    for (let n = 0; n < 10; n += 1) await clock.advance(500);
    expect(await failed).toMatchObject({
      kind: "resume_window_ended",
      cause: { kind: "deadline_exceeded" },
    });
  });
});

it("lists sandboxes", async () => {
  const { client } = scene();
  expect(await client.sandboxes()).toEqual([
    { sandboxId: "sandbox-1", name: "demo", phase: "ready", createdAtMs: 1_000 },
  ]);
});
