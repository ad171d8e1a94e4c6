import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ExecExitSchema, ExecSandboxEventSchema } from "@belay/protocol";
import type { ExecSandboxExit } from "@belay/protocol";
import type { ChannelExit } from "@belay/relay-core";
import { describe, expect, it } from "vitest";
import { durableExit, exitEvent, outputEvent, plainExit } from "../../src/exec/exec-events.ts";

type Told = Pick<MessageInitShape<typeof ExecExitSchema>, "reason" | "exitCode" | "signal">;

/** As the client gets it: what cannot be sent is no event. */
function sentExit(exit: ChannelExit, { timedOut = false, outputComplete = true } = {}) {
  const event = exitEvent(plainExit({ exit, outputComplete }, { execId: "exec-1", timedOut }));
  const { payload } = fromBinary(ExecSandboxEventSchema, toBinary(ExecSandboxEventSchema, event));
  if (payload.case !== "exit") throw new Error("no exit event");
  return payload.value;
}

describe("exec events", () => {
  it.each(["stdout", "stderr"] as const)("carry %s as it is", (stream) => {
    const data = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    const { payload } = outputEvent({ stream, data });
    expect(payload.case).toBe(stream);
    const { data: carried } = payload.value as { data: Uint8Array };
    expect(Buffer.from(carried).equals(data)).toBe(true);
  });

  it.each([0, 1, 126, 127, 255])("report exit code %i", (exitCode) => {
    const exit = sentExit({ is: "exited", exitCode });
    expect(exit).toMatchObject({ exitCode, reason: "exited", signal: "", execId: "exec-1" });
    expect(exit.outputIncomplete).toBe(false);
  });

  it("report an exit code that a server means to be negative", () => {
    expect(sentExit({ is: "exited", exitCode: 0xff_ff_ff_ff }).exitCode).toBe(-1);
  });

  it.each([
    ["KILL", 137],
    ["TERM", 143],
    ["NEVERHEARDOF", 255],
  ])("report the end by signal %s as %i, with its name", (signal, exitCode) => {
    const exit = sentExit({ is: "signaled", signal });
    expect(exit).toMatchObject({ exitCode, reason: "signaled", signal });
  });

  it.each([
    { is: "signaled", signal: "KILL" },
    { is: "exited", exitCode: 0 },
  ] as const)("report a timeout as 124, however the process ended: %o", (exit) => {
    expect(sentExit(exit, { timedOut: true })).toMatchObject({
      exitCode: 124,
      reason: "timed_out",
      signal: "",
    });
  });

  it("say when output was cut", () => {
    const exit = { is: "exited", exitCode: 0 } as const;
    expect(sentExit(exit, { outputComplete: false }).outputIncomplete).toBe(true);
    const timedOut = sentExit(exit, { outputComplete: false, timedOut: true });
    expect(timedOut.outputIncomplete).toBe(true);
  });

  it.each<[string, Told, Partial<ExecSandboxExit>]>([
    ["an exit", { reason: "exited", exitCode: 3 }, { exitCode: 3, signal: "" }],
    [
      "a signal",
      { reason: "signaled", exitCode: 137, signal: "KILL" },
      { exitCode: 137, signal: "KILL" },
    ],
    [
      "a timeout as 124",
      { reason: "timed_out", exitCode: 143, signal: "TERM" },
      { exitCode: 124, signal: "" },
    ],
  ])("report %s of a durable exec, with what its streams carried", (_what, told, reported) => {
    const sha256 = new Uint8Array([1, 2]);
    const exit = create(ExecExitSchema, { ...told, stdout: { bytes: 7n, sha256 } });
    expect(durableExit(exit, { execId: "exec-1", dropped: false })).toMatchObject({
      reason: told.reason,
      execId: "exec-1",
      stdout: { bytes: 7n, sha256 },
      ...reported,
    });
  });

  it.each([
    [false, false, false],
    [true, false, true],
    [false, true, true],
  ])("say when output of a durable exec is missing: cut %s, dropped %s", (cut, dropped, said) => {
    const exit = create(ExecExitSchema, { reason: "exited", outputIncomplete: cut });
    const { outputIncomplete } = durableExit(exit, { execId: "exec-1", dropped });
    expect(outputIncomplete).toBe(said);
  });
});
